"""Weight matrices in 8 or 4 bits: int8 and int4 in groups of 64 inputs, fp8 with a scale per output channel.

They are stored, loaded and multiplied in this form.

int8: the step is the largest absolute weight of a group / 127, rounded up to 7 binary digits, so that 1152
steps (the offset that the persistent kernel subtracts at once) are exact in fp16. The relative error of
normally distributed weights is 0.60 %, against 0.87 % with one step per channel; the resulting error of the
8B model's logits is 1.0 % against 1.5 % after rows of frames, 2.8 % against 4.0 % after rows of text.

fp8 (e4m3, 3 bits of mantissa) takes as much memory and is less exact: its relative error on normal weights is
2.6 %. It is supported for files that are stored in it.

int4 is fitted to each group: round to nibbles, fit scale and zero to those nibbles by least squares, repeat.
HQQ (Badri and Shaji 2023) fits the zero in this way; here the scale is fitted too. It needs no calibration
data and is deterministic. Its mean square error is 0.88 of that of rounding between a group's minimum and
maximum, for normal and for heavy-tailed weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# the kinds of quantisation, and the dtype of ``weight`` by which each is recognised
TYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn, "int4": torch.uint8}
# int8 with one step per channel, as older files and the embedded checkpoint have it: read, never written
BY_CHANNEL = "int8-channel"
GROUP = 64
_LARGEST = {"int8": 127, "fp8": 448}  # the number that the largest absolute weight becomes
_DIGITS = 7  # binary digits of int8's steps
_ROUNDS = 6  # further rounds reduce int4's error by less than 0.5 %
_PIECE = 2**22  # weights quantised at once; temporary memory is a few times this


class Quantized(NamedTuple):
    """A quantised matrix [N, K].

    - int8: ``weight`` int8 [N, K], ``scale`` fp16 [N, ceil(K / 64)], or fp32 [N] (``BY_CHANNEL``).
    - fp8: ``weight`` float8_e4m3fn [N, K], ``scale`` fp32 [N].
    - int4: ``weight`` uint8 [N, K / 2], ``scale`` and ``zero`` fp16 [N, K / 64]; value = (nibble - zero) *
      scale. Byte j of group g has column 64 g + j in its low nibble and column 64 g + 32 + j in its high
      nibble.
    """

    weight: Tensor
    scale: Tensor
    zero: Tensor | None = None

    @property
    def kind(self) -> str:
        kind = next(kind for kind, dtype in TYPES.items() if dtype == self.weight.dtype)
        return BY_CHANNEL if kind == "int8" and self.scale.ndim == 1 else kind

    def to(self, device: str | torch.device) -> Quantized:
        zero = None if self.zero is None else self.zero.to(device)
        return Quantized(self.weight.to(device), self.scale.to(device), zero)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The matrix [N, K] in ``dtype``."""
        if self.scale.ndim == 1:
            return (self.weight.to(torch.float32) * self.scale[:, None]).to(dtype)
        scale = self.scale[..., None].float()
        # a single pass over memory, because prefill dequantises the whole model
        if self.zero is None:
            weight = _in_groups(self.weight)
            whole = torch.mul(weight, scale, out=torch.empty(weight.shape, dtype=dtype, device=weight.device))
            return whole.flatten(1)[:, : self.weight.shape[1]]
        groups = self.weight.unflatten(1, (-1, GROUP // 2))
        whole = torch.empty(*self.scale.shape, GROUP, dtype=dtype, device=self.weight.device)
        shift = -self.zero[..., None] * scale
        for nibbles, half in zip((groups & 15, groups >> 4), whole.split(GROUP // 2, 2)):
            torch.addcmul(shift, nibbles, scale, out=half)
        return whole.flatten(1)


def field_specs(kind: str, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Dtype and shape of each field of a ``Quantized`` matrix of shape [N, K]."""
    n, k = shape
    if kind in ("fp8", BY_CHANNEL):
        return {"weight": (TYPES["fp8" if kind == "fp8" else "int8"], (n, k)), "scale": (torch.float32, (n,))}
    if kind == "int8":
        return {"weight": (TYPES[kind], (n, k)), "scale": (torch.float16, (n, -(-k // GROUP)))}
    groups = (torch.float16, (n, k // GROUP))
    return {"weight": (TYPES[kind], (n, k // 2)), "scale": groups, "zero": groups}


def field_name(weight_name: str, field: str) -> str:
    """The name, in a file or a module, of a field of the quantised matrix whose weight is ``weight_name``."""
    return weight_name.removesuffix("weight") + field


def kind_of(name: str, shape: tuple[int, ...], weights: str) -> str:
    """How a tensor is stored with matrices in ``weights``: int8, fp8, int4, or "" (unquantised).

    int4 applies to the backbone's transformer only: the depth decoder, which is read 31 times per frame, and
    the heads keep 8 bits.
    """
    if not weights or len(shape) != 2 or "embeddings" in name:
        return ""
    if weights == "int4" and not (name.startswith("backbone.") and shape[1] % GROUP == 0):
        return "int8"
    return weights


def quantize(weight: Tensor, kind: str = "int8") -> Quantized:
    """Quantise a matrix [N, K]. A dequantised fp8 matrix quantises to the same numbers again."""
    quantize_rows = {"int8": _int8, "fp8": _fp8, "int4": _int4}[kind]
    pieces = weight.split(max(1, _PIECE // weight.shape[1]))
    return Quantized(*(_concatenate(parts) for parts in zip(*map(quantize_rows, pieces))))


def dequantized(value: Tensor | Quantized) -> Tensor:
    """The matrix in fp32 if it is quantised, otherwise the tensor unchanged."""
    return value.dequantize() if isinstance(value, Quantized) else value


def requantized(value: Tensor | Quantized, kind: str) -> Quantized:
    """The matrix quantised as ``kind``; returned unchanged if it already is, so that no number changes."""
    if isinstance(value, Quantized) and value.kind == kind:
        return value
    return quantize(dequantized(value), kind)


def weight_bytes(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, weights: str) -> int:
    """Bytes of tensors with these published names and shapes."""
    total = 0
    for name, shape in shapes.items():
        kind = kind_of(name, shape, weights)
        fields = list(field_specs(kind, shape).values()) if kind else [(dtype, shape)]
        total += sum(
            torch.Size(field_shape).numel() * field_dtype.itemsize for field_dtype, field_shape in fields
        )
    return total


def _concatenate(parts: tuple[Tensor, ...]) -> Tensor:
    dtype = parts[0].dtype
    if dtype == TYPES["fp8"]:  # torch.cat does not support fp8 on every device
        return torch.cat([part.view(torch.uint8) for part in parts]).view(dtype)
    return torch.cat(parts)


def _in_groups(weight: Tensor) -> Tensor:
    """[N, K] -> [N, G, 64], padded with zeros."""
    padding = -weight.shape[1] % GROUP
    return (F.pad(weight, (0, padding)) if padding else weight).unflatten(1, (-1, GROUP))


def _int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    groups, largest = _in_groups(weight.float()), _LARGEST["int8"]
    mantissa, exponent = torch.frexp(groups.abs().amax(2, keepdim=True) / largest)
    scale = torch.ldexp((mantissa * 2**_DIGITS).ceil() / 2**_DIGITS, exponent)
    # round up to a multiple of 2**-24, the smallest positive fp16 number, of which all fp16 numbers are
    # multiples
    scale = (scale * 2**24).ceil().clamp(min=1).div(2**24).half()
    steps = (groups / scale.float()).round_().clamp_(-largest, largest).to(TYPES["int8"])
    return steps.flatten(1)[:, : weight.shape[1]], scale[..., 0]


def _fp8(weight: Tensor) -> tuple[Tensor, Tensor]:
    weight, largest = weight.float(), _LARGEST["fp8"]
    scale = weight.abs().amax(1) / largest
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    # clamp: a number beyond the largest, by rounding of the scale, would become NaN
    return (weight / scale[:, None]).clamp(-largest, largest).to(TYPES["fp8"]), scale


def _int4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    w = weight.float().unflatten(1, (-1, GROUP))  # [N, G, 64]
    low, high = w.aminmax(dim=2, keepdim=True)
    scale = (high - low) / 15
    # a group of equal numbers (in practice, of zeros) is one step of that size
    scale = torch.where(scale > 0, scale, torch.where(low == 0, torch.ones_like(low), low))
    zero = torch.where(high > low, -low / scale, torch.zeros_like(low))
    mean = w.mean(2, keepdim=True)
    for _ in range(_ROUNDS):
        q = (w / scale).add_(zero).round_().clamp_(0, 15)
        q_mean = q.mean(2, keepdim=True)
        variance = q.square().mean(2, keepdim=True) - q_mean.square()
        slope = ((q * w).mean(2, keepdim=True) - q_mean * mean) / variance.clamp(min=1e-6)
        solvable = (variance > 1e-6) & (slope.abs() > 0)
        scale = torch.where(solvable, slope, scale)
        zero = torch.where(solvable, q_mean - mean / scale, zero)
    # choose the nibbles for scale and zero as they are stored
    scale, zero = scale.half(), zero.half()
    scale = torch.where(scale == 0, torch.full_like(scale, 6e-8), scale)  # too small for fp16
    q = (w / scale.float() + zero.float()).round_().clamp_(0, 15).to(torch.uint8)
    return (q[..., : GROUP // 2] | q[..., GROUP // 2 :] << 4).flatten(1), scale[..., 0], zero[..., 0]
