"""Mimi, the codec of Miso's codes, in plain PyTorch: decoder and encoder, exact at any chunk size.

The architecture is Mimi's (Defossez et al. 2024, "Moshi", arXiv 2410.00037); weights are Kyutai's, in either published layout.
Importing this package imports nothing heavy: its names arrive when first used.
"""

from importlib import import_module

_PUBLIC = {"MimiConfig": "config", "Mimi": "codec", "DecodeState": "codec", "EncodeState": "codec", "random_mimi": "random",
           "load_mimi": "weights", "save_mimi": "weights"}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
