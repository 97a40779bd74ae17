"""Rotary position embeddings over interleaved pairs (Su et al. 2021, arXiv 2104.09864)."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_from(cos: Tensor, sin: Tensor) -> Tensor:
    """The argument of ``rotate`` for angles whose cosines and sines are given, [..., S, H / 2] in fp32.

    Complex numbers of this shape, so that a pair is rotated by one product; on MPS, whose support for complex
    numbers is incomplete, cosines and sines [2, ..., S, H / 2].
    """
    return torch.stack((cos, sin)) if cos.device.type == "mps" else torch.complex(cos, sin)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the pairs (2i, 2i + 1) of each head of x [B, heads, S, H], computed in fp32."""
    pairs = x.float().unflatten(-1, (-1, 2))
    if rotation.is_complex():
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * rotation)
    else:
        (even, odd), (cos, sin) = pairs.unbind(-1), rotation
        rotated = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1)
    return rotated.flatten(-2).type_as(x)
