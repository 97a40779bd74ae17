"""Convolutions on a GPU as exact as on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def no_tf32(device: torch.device) -> Iterator[None]:
    """Convolutions in full fp32: cuDNN's default, TF32, rounds their inputs to 10 bits."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with cudnn.flags(cudnn.enabled, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False):
        yield
