"""Which device, and which number format of weights on it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .errors import MisoError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (*DTYPES, "int8")


class Precision(NamedTuple):
    """What is computed in, and whether the matrices are held as int8."""

    dtype: torch.dtype = torch.float32
    int8: bool = False


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes CUDA, else Apple's MPS, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as e:
        raise MisoError(f"The device '{name}' can't be used here ({str(e).splitlines()[0]}).", "Use auto, cuda, mps or cpu.", input="device") from e


def pick_precision(name: str, device: torch.device, stored_int8: bool = False) -> Precision:
    """The precision of that name. ``auto`` keeps a file of int8 weights as it is; else it is bf16 on a GPU, fp32 on the CPU, whose bf16 is slower."""
    usual = torch.float32 if device.type == "cpu" else torch.bfloat16
    if name == "auto":
        return Precision(usual, stored_int8)
    if name not in PRECISIONS:
        raise MisoError(f"There is no precision '{name}'.", f"Use auto, {', '.join(PRECISIONS)}.", input="precision")
    return Precision(usual, True) if name == "int8" else Precision(DTYPES[name])
