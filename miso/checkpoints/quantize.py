"""Matrices in fewer bits: int8 and int4 in groups of 64 inputs, fp8 with one scale an output channel; read as they are, widened in the product.

int8's step is a group's greatest weight / 127, rounded up to 7 binary digits: so that 1152 steps, which a kernel takes off at once, are exact in
fp16. On normal weights its relative error is 0.60 %, and with one step for a whole channel 0.87 %; of the logits of the 8B size that makes 1.0 and
1.5 % after rows of frames, 2.8 and 4.0 % after rows of text.

fp8 (e4m3: 3 bits of mantissa) takes as much and is less exact: on normal weights its relative error is 2.6 %. It is there for files that have it.

int4 is fitted to each group: nibbles by rounding, then the scale and zero that fit those best by least squares, and again (what
HQQ, Badri and Shaji 2023, does to the zero, with the scale fitted too). Without data, and the same on every run. Its
mean square error is 0.88 of what rounding between a group's least and greatest leaves, on normal weights and on heavy tails alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.config import ModelConfig

TYPES = {
    "int8": torch.int8,
    "fp8": torch.float8_e4m3fn,
    "int4": torch.uint8,
}  # of each kind's ``weight``, by which it is known
_MOST = {"int8": 127, "fp8": 448}  # the greatest number of the type, which the greatest weight becomes
BY_CHANNEL = "int8-channel"  # int8 with one step a channel, as files of before have it, nano's among them: read, and never written
GROUP = 64
_DIGITS = 7  # of int8's steps
_ROUNDS = 6  # any more improve the error by less than 0.5 %
_PIECE = 2**22  # weights fitted at once: the work stays in memory of a few times this


class Quantized(NamedTuple):
    """A matrix [N, K] as it is held.

    int8: ``weight`` int8 [N, K], ``scale`` fp16 [N, K / 64, rounded up], or fp32 [N] (``BY_CHANNEL``). fp8: ``weight`` float8_e4m3fn [N, K],
    ``scale`` fp32 [N]. int4: ``weight`` uint8 [N, K / 2], ``scale`` and ``zero`` fp16 [N, K / 64]; value = (nibble - zero) * scale, and byte j of
    group g has column 64 g + j in its low nibble, 64 g + 32 + j in its high.
    """

    weight: Tensor
    scale: Tensor
    zero: Tensor | None = None

    @property
    def kind(self) -> str:
        kind = next(kind for kind, dtype in TYPES.items() if dtype == self.weight.dtype)
        return BY_CHANNEL if kind == "int8" and self.scale.ndim == 1 else kind

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """[N, K]."""
        if self.scale.ndim == 1:
            return (self.weight.to(torch.float32) * self.scale[:, None]).to(dtype)
        scale = self.scale[..., None].float()
        # each number passes memory once: prefill widens all of a model
        if self.zero is None:
            weight = _in_groups(self.weight)
            whole = torch.mul(weight, scale, out=torch.empty(weight.shape, dtype=dtype, device=weight.device))
            return whole.flatten(1)[:, : self.weight.shape[1]]
        groups, whole = (
            self.weight.unflatten(1, (-1, GROUP // 2)),
            torch.empty(*self.scale.shape, GROUP, dtype=dtype, device=self.weight.device),
        )
        shift = -self.zero[..., None] * scale
        for nibbles, half in zip((groups & 15, groups >> 4), whole.split(GROUP // 2, 2)):
            torch.addcmul(shift, nibbles, scale, out=half)
        return whole.flatten(1)


class QuantizedLinear(nn.Module):
    """``nn.Linear`` without bias over a ``Quantized`` matrix. Plain path: the weights are widened for the product, which saves memory and no time."""

    def __init__(self, inputs: int, outputs: int, kind: str):
        super().__init__()
        self.kind = kind
        for name, (dtype, shape) in field_specs(kind, (outputs, inputs)).items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "fp8":  # exact in bf16, and a channel's scale can wait
            return (F.linear(x, self.weight.to(x.dtype)) * self.scale).to(x.dtype)
        return F.linear(
            x, Quantized(self.weight, self.scale, getattr(self, "zero", None)).dequantize(x.dtype)
        )


def field_specs(kind: str, shape: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Type and shape of each field of a ``Quantized`` matrix [N, K]."""
    n, k = shape
    if kind in ("fp8", BY_CHANNEL):
        return {"weight": (TYPES["fp8" if kind == "fp8" else "int8"], (n, k)), "scale": (torch.float32, (n,))}
    if kind == "int8":
        return {"weight": (TYPES[kind], (n, k)), "scale": (torch.float16, (n, -(-k // GROUP)))}
    return {
        "weight": (TYPES[kind], (n, k // 2)),
        "scale": (torch.float16, (n, k // GROUP)),
        "zero": (torch.float16, (n, k // GROUP)),
    }


def kind_of(name: str, shape: tuple[int, ...], weights: str) -> str:
    """What the tensor of that published name is held as when matrices are ``weights``: int8, fp8, int4, or "" for as it is.

    int4 is for the backbone's stack alone: what the depth decoder reads 31 times a frame, and the heads, keep 8 bits.
    """
    if not weights or len(shape) != 2 or "embeddings" in name:
        return ""
    return (
        "int8"
        if weights == "int4" and not (name.startswith("backbone.") and shape[1] % GROUP == 0)
        else weights
    )


def quantize(weight: Tensor, kind: str = "int8") -> Quantized:
    """The matrix [N, K] in fewer bits; what comes back of fp8 quantises to itself."""
    pieces, of = (
        weight.split(max(1, _PIECE // weight.shape[1])),
        {"int8": _int8, "fp8": _fp8, "int4": _int4}[kind],
    )
    return Quantized(*(_cat(parts) for parts in zip(*map(of, pieces))))


def requantize(value: Tensor | Quantized, kind: str) -> Tensor | Quantized:
    """A tensor or matrix as ``kind`` ("": multiplied out): itself if that is how it is held, so that no number changes, else quantised anew."""
    held = value.kind if isinstance(value, Quantized) else ""
    if held == kind:
        return value
    whole = value.dequantize() if held else value
    return quantize(whole, kind) if kind else whole


def _cat(parts: tuple[Tensor, ...]) -> Tensor:
    dtype = parts[0].dtype  # torch has no cat of fp8 everywhere
    return (
        torch.cat([p.view(torch.uint8) for p in parts]).view(dtype)
        if dtype == TYPES["fp8"]
        else torch.cat(parts)
    )


def _in_groups(weight: Tensor) -> Tensor:
    """[N, G, 64] of [N, K], with zeros after the last."""
    rest = -weight.shape[1] % GROUP
    return (F.pad(weight, (0, rest)) if rest else weight).unflatten(1, (-1, GROUP))


def _int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    groups, most = _in_groups(weight.float()), _MOST["int8"]
    part, exponent = torch.frexp(groups.abs().amax(2, keepdim=True) / most)
    scale = torch.ldexp((part * 2**_DIGITS).ceil() / 2**_DIGITS, exponent)
    scale = (
        (scale * 2**24).ceil().clamp(min=1).div(2**24).half()
    )  # the least that fp16 has, of which all it has are a multiple
    steps = (groups / scale.float()).round_().clamp_(-most, most).to(TYPES["int8"])
    return steps.flatten(1)[:, : weight.shape[1]], scale[..., 0]


def _fp8(weight: Tensor) -> tuple[Tensor, Tensor]:
    weight, most = weight.float(), _MOST["fp8"]
    scale = weight.abs().amax(1) / most
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (weight / scale[:, None]).clamp(-most, most).to(
        TYPES["fp8"]
    ), scale  # beyond it by rounding it would be NaN


def _int4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    w = weight.float().unflatten(1, (-1, GROUP))  # [N, G, 64]
    low, high = w.aminmax(dim=2, keepdim=True)
    scale = (high - low) / 15
    # a group of equal numbers, of which a model has none unless they are 0, is one step of that size
    scale = torch.where(scale > 0, scale, torch.where(low == 0, torch.ones_like(low), low))
    zero = torch.where(high > low, -low / scale, torch.zeros_like(low))
    mean = w.mean(2, keepdim=True)
    for _ in range(_ROUNDS):
        q = (w / scale).add_(zero).round_().clamp_(0, 15)
        middle = q.mean(2, keepdim=True)
        spread = q.square().mean(2, keepdim=True) - middle.square()
        slope = ((q * w).mean(2, keepdim=True) - middle * mean) / spread.clamp(min=1e-6)
        fits = (spread > 1e-6) & (slope.abs() > 0)
        scale = torch.where(fits, slope, scale)
        zero = torch.where(fits, middle - mean / scale, zero)
    # nibbles are chosen for the numbers that are kept
    scale, zero = scale.half(), zero.half()
    scale = torch.where(scale == 0, torch.full_like(scale, 6e-8), scale)  # too small for fp16
    q = (w / scale.float() + zero.float()).round_().clamp_(0, 15).to(torch.uint8)
    return (q[..., : GROUP // 2] | q[..., GROUP // 2 :] << 4).flatten(1), scale[..., 0], zero[..., 0]


def field_name(weight_name: str, field: str) -> str:
    """The name, in a file or a module, of a field of the quantised matrix whose weight has that name."""
    return weight_name.removesuffix("weight") + field


def use_quantized(module: nn.Module, kind: dict[str, str], prefix: str = "") -> None:
    """Put a ``QuantizedLinear``, without values yet, in the place of every ``nn.Linear`` below ``module`` whose weight's name has a kind."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if isinstance(child, nn.Linear) and (wanted := kind.get(f"{path}.weight")):
            setattr(module, name, QuantizedLinear(child.in_features, child.out_features, wanted))
        else:
            use_quantized(child, kind, f"{path}.")


def bytes_held(
    config: ModelConfig, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype, weights: str
) -> int:
    """What tensors of those published names and shapes take, and the depth decoder's table of codes with them."""
    total = (config.codebooks - 1) * config.audio_vocab * config.depth.dim * dtype.itemsize
    for name, shape in shapes.items():
        kind = kind_of(name, shape, weights)
        fields = field_specs(kind, shape).values() if kind else [(dtype, shape)]
        total += sum(torch.Size(s).numel() * t.itemsize for t, s in fields)
    return total
