"""Shared by the backends of other packages: loading a whole codec, and encoding in fp32 only."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import MisoError
from ..mimi.config import MimiConfig
from ..mimi.weights import load_mimi, published_tensors

if TYPE_CHECKING:
    from ..vocoder import Vocoder


def whole_codec(checkpoint: str | os.PathLike, backend: str) -> tuple[MimiConfig, str, dict[str, Tensor]]:
    """Sizes, codec id and all tensors, under their published names, of a Mimi file of any layout.

    Codebooks are vectors divided in fp32 (with counts of one), so that casting the module later doesn't round
    sums and counts. Raises MisoError if the file has no encoder.
    """
    mimi = load_mimi(checkpoint)
    if not mimi.can_encode:
        raise MisoError(
            f"This file contains a decoder only, but the vocoder backend '{backend}' needs a whole codec.",
            "Use the backend 'mimi', or a file with an encoder.",
        )
    return mimi.config, mimi.codec, published_tensors(mimi)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Within it a package is imported and its modules are made; random numbers and warnings stay as they
    were."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        yield


def require_fp32(vocoder: Vocoder) -> None:
    """Raise MisoError unless the module's weights are fp32: in bf16 one code in eight would change."""
    if next(vocoder.module.parameters()).dtype != torch.float32:
        raise MisoError(
            "Mimi encodes in fp32 only, and this vocoder was loaded in another precision.",
            "Load it in fp32, or use the backend 'mimi', which keeps its encoder in fp32.",
        )
