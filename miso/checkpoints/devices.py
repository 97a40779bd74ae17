"""Which device, and which number format of weights on it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..errors import MisoError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (*DTYPES, "int8", "fp8", "int4")


class Precision(NamedTuple):
    """What is computed in, and whether the matrices are held in fewer bits than that: "int8", "fp8", "int4" or "" for no."""

    dtype: torch.dtype = torch.float32
    weights: str = ""

    def __str__(self) -> str:
        return self.weights or next(name for name, dtype in DTYPES.items() if dtype == self.dtype)


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes CUDA, else Apple's MPS, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as e:
        raise MisoError(
            f"The device '{name}' can't be used here ({str(e).splitlines()[0]}).",
            "Use auto, cuda, mps or cpu.",
            input="device",
        ) from e


def pick_precision(name: str, device: torch.device) -> Precision:
    """The precision of that name; ``auto`` is bf16 on a GPU and fp32 on the CPU, whose bf16 is slower (``fit.choose`` asks for room too)."""
    usual = torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in ("auto", *PRECISIONS):
        raise MisoError(
            f"There is no precision '{name}'.", f"Use auto, {', '.join(PRECISIONS)}.", input="precision"
        )
    if name == "fp8" and not has_fp8(device):
        raise MisoError(
            f"The device '{device.type}' has no numbers of the type fp8.",
            "Use int8, which takes as little memory.",
            input="precision",
        )
    return Precision(DTYPES.get(name, usual), "" if name in ("auto", *DTYPES) else name)


def has_fp8(device: torch.device) -> bool:
    """Whether the device can hold float8_e4m3fn, and widen it: PyTorch's MPS can't. All others do, without hardware for it too."""
    return device.type != "mps"
