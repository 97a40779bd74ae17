"""From text to prompt rows: phonemes, tokenizers, and the segments of a prompt."""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    conditioning="Conditioning Prompt Segment TextEncoder",
    pronunciations="Pronunciations",
    tokenizer="Tokenizer find_tokenizer",
)
