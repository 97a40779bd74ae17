"""The CUDA source of the kernel."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

FILES = (
    "device.cuh",
    "plan.cuh",
    "stream.cuh",
    "numbers.cuh",
    "products.cuh",
    "drawing.cuh",
    "attention.cuh",
    "inputs.cuh",
    "frame.cu",
)


@lru_cache
def source() -> str:
    """The files as one translation unit."""
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in FILES)
