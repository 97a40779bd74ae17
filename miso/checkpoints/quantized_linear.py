"""Linear layers whose matrices are quantised, and modules with them in place of ``nn.Linear``."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .quantize import Quantized, field_specs
from .quantized_kernels import linear

Network = TypeVar("Network", bound=nn.Module)


class QuantizedLinear(nn.Module):
    """``nn.Linear`` without bias over a ``Quantized`` matrix.

    Where there is no kernel for the product (see ``quantized_kernels``), the weights are dequantised for it,
    which saves memory and no time.
    """

    weight: Tensor
    scale: Tensor
    zero: Tensor  # int4 only

    def __init__(self, inputs: int, outputs: int, kind: str):
        super().__init__()
        self.kind = kind
        for name, (dtype, shape) in field_specs(kind, (outputs, inputs)).items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype))

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The matrix [N, K] in ``dtype``."""
        return self._matrix().dequantize(dtype)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "fp8":  # exact in bf16, and the scale of a channel can be applied to the product
            return (F.linear(x, self.weight.to(x.dtype)) * self.scale).to(x.dtype)
        if (y := linear(x, self._matrix())) is not None:
            return y
        return F.linear(x, self.dequantize(x.dtype))

    def _matrix(self) -> Quantized:
        return Quantized(self.weight, self.scale, getattr(self, "zero", None))


def use_quantized(module: nn.Module, kinds: dict[str, str], prefix: str = "") -> None:
    """Replace each ``nn.Linear`` below ``module`` whose weight has a kind in ``kinds`` (weight name -> kind).

    The ``QuantizedLinear`` modules that replace them have no values yet.
    """
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if isinstance(child, nn.Linear) and (kind := kinds.get(f"{path}.weight")):
            setattr(module, name, QuantizedLinear(child.in_features, child.out_features, kind))
        else:
            use_quantized(child, kinds, f"{path}.")


def unquantized(module: Network, dtype: torch.dtype) -> Network:
    """A copy of the module with its quantised matrices in ``dtype``; all other tensors are shared."""
    tensors = (*module.parameters(), *module.buffers())
    whole = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    _replace_quantized(whole, dtype)
    return whole


def _replace_quantized(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in module.named_children():
        if isinstance(child, QuantizedLinear):
            linear = nn.Linear(1, 1, bias=False, device="meta")
            linear.weight = nn.Parameter(child.dequantize(dtype), requires_grad=False)
            setattr(module, name, linear)
        else:
            _replace_quantized(child, dtype)
