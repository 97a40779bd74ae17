"""Codes: the container, hidden states, pictures of codes, the store of codes on disk, and editing."""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    codes="Codes",
    hidden="Hidden",
    picture="draw_codes",
    store="Kept Store",
    takes="Span Take Word",
)
