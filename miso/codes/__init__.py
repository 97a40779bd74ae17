"""Codes: the container, the hidden states they were drawn from, their picture, and the store of codes on disk."""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    codes="Codes Span Take",
    hidden="Hidden",
    picture="draw_codes",
    store="Kept Store",
)
