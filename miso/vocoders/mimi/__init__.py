"""Mimi, the codec of Miso's codes, in plain PyTorch: encoder and decoder, exact at any chunk size.

The architecture is by Defossez et al. 2024 ("Moshi", arXiv 2410.00037), weights by Kyutai. Files of both
published layouts load.
"""

from ... import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    codec="DecodeState EncodeState Mimi",
    config="MimiConfig",
    random="random_mimi",
    weights="load_mimi save_mimi",
)
