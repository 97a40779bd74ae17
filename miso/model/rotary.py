"""Rotary positions over interleaved pairs, shared by the language model and the codec (Su et al. 2021, arXiv 2104.09864)."""

from __future__ import annotations

import torch
from torch import Tensor


def turn_by(cos: Tensor, sin: Tensor) -> Tensor:
    """What ``rotate`` takes, of the cos and sin [S, H / 2] of angles in fp32: complex numbers [S, H / 2], which turn a pair in one product.

    MPS, where complex numbers are incomplete, gets the two side by side instead, [2, S, H / 2].
    """
    return torch.stack((cos, sin)) if cos.device.type == "mps" else torch.complex(cos, sin)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn neighbouring pairs (2i, 2i + 1) of each head, x [B, heads, S, H], in fp32."""
    pairs = x.float().unflatten(-1, (-1, 2))
    if turn.is_complex():
        turned = torch.view_as_real(torch.view_as_complex(pairs) * turn)
    else:
        (even, odd), (cos, sin) = pairs.unbind(-1), turn
        turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1)
    return turned.flatten(-2).type_as(x)
