"""Limits on the GPU that the kernel may use, to see on a large one how it does on a smaller one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch


class GpuLimits(NamedTuple):
    multiprocessors: int  # each runs one program
    shared_bytes: int  # shared memory of a program


_limits: ContextVar[GpuLimits | None] = ContextVar("limits", default=None)


@contextmanager
def limited_to(limits: GpuLimits | None) -> Iterator[None]:
    """Within the block, kernels are made for a GPU of at most these multiprocessors and shared memory.

    Memory bandwidth stays that of the real GPU. A frame recorded before keeps its own limits.
    """
    token = _limits.set(limits)
    try:
        yield
    finally:
        _limits.reset(token)


def gpu_limits(device: torch.device) -> GpuLimits:
    """What the kernel may use of the device."""
    properties: Any = torch.cuda.get_device_properties(device)
    real = GpuLimits(properties.multi_processor_count, properties.shared_memory_per_block_optin)
    return GpuLimits(*map(min, real, _limits.get() or real))
