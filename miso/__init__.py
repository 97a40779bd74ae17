"""Miso: text to Mimi codes to sound, with the codes in your hands.

Everything public is loaded on first use, so that ``import miso`` costs nothing and needs no torch.
"""

from importlib import import_module

_PUBLIC = {
    "Miso": "speech", "Checkpoint": "checkpoint", "save_checkpoint": "checkpoint", "Codes": "codes", "Span": "codes", "Take": "codes",
    "Hidden": "hidden", "Segment": "conditioning", "Conditioning": "conditioning", "TextEncoder": "conditioning", "FrameLoop": "frames",
    "Frame": "frames", "DepthSampler": "depth", "redecode": "depth", "Sampling": "sampling", "MisoError": "errors",
    "load_vocoder": "vocoder", "read_audio": "audio", "write_audio": "audio", "resample": "audio",
}
__all__ = list(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *_PUBLIC])
