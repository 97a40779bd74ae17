"""Devices, and the number formats of weights on them."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..errors import MisoError, first_line

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (*DTYPES, "int8", "fp8", "int4")


class Precision(NamedTuple):
    """The dtype of computation, and how matrices are quantised: "int8", "fp8", "int4" or "" (not at all)."""

    dtype: torch.dtype = torch.float32
    weights: str = ""

    def __str__(self) -> str:
        return self.weights or next(name for name, dtype in DTYPES.items() if dtype == self.dtype)


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is CUDA if available, then Apple's MPS, then the CPU.

    Raises MisoError if the device can't be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as e:
        raise MisoError(
            f"The device '{name}' can't be used here ({first_line(e)}).",
            "Use auto, cuda, mps or cpu.",
            input="device",
        ) from e


def pick_precision(name: str, device: torch.device) -> Precision:
    """The precision of that name; ``auto`` is bf16 on a GPU and fp32 on the CPU, where bf16 is slower.

    Memory is not considered here (see ``fit.choose_precision``). Raises MisoError for an unknown name, and
    for fp8 on a device without it.
    """
    if name not in ("auto", *PRECISIONS):
        raise MisoError(
            f"There is no precision '{name}'.", f"Use auto, {', '.join(PRECISIONS)}.", input="precision"
        )
    if name == "fp8" and not has_fp8(device):
        raise MisoError(
            f"The device '{device.type}' does not support fp8.",
            "Use int8, which takes as little memory.",
            input="precision",
        )
    usual = torch.float32 if device.type == "cpu" else torch.bfloat16
    return Precision(DTYPES.get(name, usual), "" if name in ("auto", *DTYPES) else name)


def has_fp8(device: torch.device) -> bool:
    """Whether the device can store and convert float8_e4m3fn: all but MPS, even without fp8 arithmetic."""
    return device.type != "mps"
