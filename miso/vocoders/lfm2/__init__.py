"""LFM2.5-Audio's detokenizer, a decoder for Mimi's codes. ``backends/lfm2.py`` makes a vocoder of it."""

from ... import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    config="DetokenizerConfig",
    detokenizer="Detokenizer DetokenizerState",
    weights="inspect_detokenizer is_detokenizer load_detokenizer save_detokenizer",
)
