"""Matrices in fp16 for products in fp32 on a CPU, where a few rows take as long as reading the matrix.

PyTorch's x86 kernels (FBGEMM) read them at half the bytes of fp32, 3 to 5 times as fast for one row, and
multiply and add in fp32. Only matrices that fp16 can hold are packed, so that the result differs by rounding:
those of files in bf16 and int8. Elsewhere, and for many rows, the product is PyTorch's usual one.
"""

from __future__ import annotations

import logging
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
log = logging.getLogger(__name__)

_MOST_ROWS = 64  # of a product; for more, PyTorch's usual one is as fast
_EXACT = 1e-6  # largest difference of fp16 numbers from the weights, as a share of the largest weight
_MOST_BYTES = 2e9  # of a network in fp32: the copies take as much again


class PackedMatrix:
    """A matrix [N, K] on the CPU, packed at its first product."""

    def __init__(self) -> None:
        self._packed: torch.ScriptObject | None = None
        self._of: tuple[int, int] | None = None  # address and version of the weights that are packed

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
        """x [..., K] @ weight.T + bias; None where that is no product of few rows in fp32 on a CPU."""
        if x.dtype != torch.float32 or x.device.type != "cpu" or torch.is_grad_enabled():
            return None
        if x.numel() > _MOST_ROWS * x.shape[-1]:
            return None
        if self._of != (of := state_of(weight)):
            self._packed, self._of = pack_matrix(weight, bias), of
        return None if self._packed is None else multiply(x, self._packed)


class PackedLinear(nn.Linear):
    """``nn.Linear`` with the same state, by a ``PackedMatrix`` where that can be."""

    packed: PackedMatrix

    @classmethod
    def of(cls, linear: nn.Linear) -> PackedLinear:
        """A layer with the parameters of another."""
        layer = cls.__new__(cls)
        layer.__dict__ = {**linear.__dict__, "packed": PackedMatrix()}
        return layer

    def forward(self, x: Tensor) -> Tensor:
        y = self.packed(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias) if y is None else y

    def _apply(self, fn, recurse=True):
        self.packed = PackedMatrix()  # frees the copy
        return super()._apply(fn, recurse)


def pack(network: Network) -> Network:
    """Replace the linear layers of a small network on the CPU in fp32 by packed ones; returns the network."""
    if is_small(network):
        for module in list(network.modules()):
            for name, child in module.named_children():
                if type(child) is nn.Linear:
                    setattr(module, name, PackedLinear.of(child))
    return network


def is_small(network: nn.Module) -> bool:
    """Whether all weights are on the CPU in fp32, and few enough for copies of them."""
    tensors = list(network.parameters())
    return sum(t.nbytes for t in tensors) <= _MOST_BYTES and all(
        t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors
    )


def pack_matrix(weight: Tensor, bias: Tensor | None = None) -> torch.ScriptObject | None:
    """The matrix [N, K] for ``multiply``, if fp16 can hold it and this processor has the kernel."""
    lost = (weight.half().float() - weight).abs().max()
    if not lost <= _EXACT * weight.abs().max():  # of NaN too
        return None
    try:
        return torch.ops.quantized.linear_prepack_fp16(weight.detach().contiguous(), bias)
    except (AttributeError, RuntimeError) as e:
        log.debug("no kernel for matrices in fp16 (%s)", e)
        return None


def multiply(x: Tensor, packed: torch.ScriptObject | None) -> Tensor:
    """x [..., K] in fp32 @ the packed matrix.T, plus its bias."""
    return torch.ops.quantized.linear_dynamic_fp16(x, packed)


def state_of(weight: Tensor) -> tuple[int, int]:
    """The address of a weight, and a number that grows when it is changed in place."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
