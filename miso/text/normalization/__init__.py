"""Written text to spoken text: one module a kind of token, the words of a language in a table of its own."""

from ... import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    language="Language",
    languages="LANGUAGES",
    leftovers="Leftovers",
)
