"""Mimi, the codec of Miso's codes, in plain PyTorch: decoder and encoder, exact at any chunk size.

The architecture is Mimi's (Defossez et al. 2024, "Moshi", arXiv 2410.00037); weights are Kyutai's, in either published layout.
"""

from ... import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    codec="DecodeState EncodeState Mimi",
    config="MimiConfig",
    random="random_mimi",
    weights="load_mimi save_mimi",
)
