"""int8 weights, one scale an output channel: half of bf16's memory, read as they are and multiplied out in the product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Int8Linear(nn.Module):
    """``nn.Linear`` without bias over int8 weights [out, in] and their scales [out].

    Plain path: the weights are widened for the product, which saves memory and no time. Ids of 8 bits are exact in bf16.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.register_buffer("weight", torch.empty(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(outputs, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return (F.linear(x, self.weight.to(x.dtype)) * self.scale).to(x.dtype)


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 [out, in] and fp32 scales [out] of a weight, rounded to nearest; what comes back of them quantises to itself."""
    weight = weight.float()
    scale = weight.abs().amax(1) / 127
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def dequantize(weight: Tensor, scale: Tensor) -> Tensor:
    """The fp32 weight [out, in] that int8 weights and their scales stand for."""
    return weight.float() * scale.float()[:, None]


def scale_name(weight_name: str) -> str:
    """The name in a file of the scales that belong to the int8 weight of that name."""
    return weight_name.removesuffix("weight") + "scale"


def use_int8(module: nn.Module) -> None:
    """Put an ``Int8Linear``, without values yet, in the place of every ``nn.Linear`` below ``module``."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child.in_features, child.out_features))
        else:
            use_int8(child)
