"""Miso: text to Mimi codes to a waveform, with the codes in your hands.

Public names are imported on first use, so that ``import miso`` is fast and needs no torch.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def lazy_names(
    package: str, **modules: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package that imports its public names on first use
    (PEP 562).

    ``modules`` maps each module of the package to the names it provides, separated by spaces.
    """
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(f".{module_of[name]}", package), name)

    return __getattr__, lambda: sorted(module_of), list(module_of)


__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    audio="read_audio resample write_audio",
    checkpoints="Checkpoint save_checkpoint",
    codes="Codes Hidden Span Take",
    errors="MisoError",
    generation="DepthSampler Frame FrameLoop redecode",
    model="Sampling",
    speech="Miso",
    text="Conditioning Segment TextEncoder",
    vocoders="load_vocoder",
)
