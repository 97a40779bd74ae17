"""Vocoder backends by name.

A backend is a function that loads a vocoder from a checkpoint. Its module is imported on first use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MisoError
from ..files import read_header

if TYPE_CHECKING:
    import torch

    from .vocoder import Vocoder

Loader = Callable[[str | os.PathLike, "str | torch.device", "torch.dtype | None"], "Vocoder"]


def _lazy(module: str) -> Loader:
    def load(
        checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> Vocoder:
        return import_module(module, __package__).load(checkpoint, device, dtype)

    return load


def _by_file(
    checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Vocoder:
    from .lfm2 import is_detokenizer
    from .source_filter import is_source_filter

    if Path(checkpoint).suffix == ".onnx":
        name = "onnx"
    elif is_source_filter(checkpoint):
        name = "source-filter"
    else:
        name = "lfm2" if is_detokenizer(read_header(checkpoint)[1]) else "mimi"
    return _BUILT_IN[name](checkpoint, device, dtype)


DEFAULT = "auto"
_BUILT_IN = {
    "auto": _by_file,
    "mimi": _lazy(".backends.mimi"),
    "source-filter": _lazy(".backends.source_filter"),
    "onnx": _lazy(".backends.onnx"),
    "lfm2": _lazy(".backends.lfm2"),
    "moshi": _lazy(".backends.moshi"),
    "transformers": _lazy(".backends.transformers"),
}
_registered: dict[str, Loader] = {}


def list_backends() -> dict[str, Loader]:
    """All backends by name, the default first. The optional package of a backend may not be installed."""
    return {**_BUILT_IN, **_registered}


def register(name: str, loader: Loader) -> None:
    """Add a backend: ``loader(checkpoint, device, dtype)`` returns a ``Vocoder``.

    Replaces a backend registered under that name before. Raises MisoError if the name is built in.
    """
    if name in _BUILT_IN:
        raise MisoError(
            f"The vocoder backend '{name}' is built in and can't be replaced.",
            "Register yours under another name.",
        )
    _registered[name] = loader


def load_vocoder(
    backend: str,
    checkpoint: str | os.PathLike,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> Vocoder:
    """Load a vocoder by the named backend; ``auto`` picks the backend that the file was made for.

    ``dtype``: of decoding, fp32 if None. Encoding is always fp32.
    Raises MisoError if the backend is unknown, its package is missing, or the checkpoint doesn't fit it.
    """
    known = list_backends()
    if backend not in known:
        raise MisoError(
            f"There is no vocoder backend '{backend}'.",
            f"Choose one of: {', '.join(known)}.",
            input="backend",
        )
    return known[backend](checkpoint, device, dtype)
