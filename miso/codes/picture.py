"""Codes as a picture: a column a frame, a row a codebook, a colour a code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .codes import Codes

_WIDTH, _HEIGHT = 1024, 256  # at least; a cell is a whole number of pixels


def draw_codes(codes: Codes) -> Tensor:
    """RGB pictures [B, height, width, 3] in [0, 1], one a take; what lies beyond a take's end is dark."""
    cell_w = max(1, _WIDTH // max(codes.frames, 1))
    cell_h = max(1, _HEIGHT // codes.codebooks)
    turn = codes.tensor.double() * (
        (math.sqrt(5) - 1) / 2
    )  # the golden ratio keeps neighbouring ids far apart in hue
    hue = (turn - turn.floor()).float()[..., None] * 6
    rgb = (
        (hue - torch.tensor([3.0, 2.0, 4.0])).abs() * torch.tensor([1.0, -1.0, -1.0])
        + torch.tensor([-1.0, 2.0, 2.0])
    ).clamp(0, 1)
    level = torch.linspace(0.95, 0.45, codes.codebooks)[
        :, None, None
    ]  # coarse codebooks bright, fine ones dim
    inside = torch.arange(codes.frames) < codes.lengths[:, None, None]
    rgb = (0.25 + 0.75 * rgb) * level * inside[..., None] + 0.08 * ~inside[..., None]
    return (
        rgb.repeat_interleave(cell_h, 1).repeat_interleave(cell_w, 2)
        if codes.frames
        else torch.full((codes.batch, cell_h, 1, 3), 0.08)
    )
