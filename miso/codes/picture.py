"""Pictures of codes: one column per frame, one row per codebook, one colour per code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .codes import Codes

_WIDTH, _HEIGHT = 1024, 256  # approximate size in pixels; a cell is a whole number of pixels
_MOST_FRAMES = 4096  # columns: of more frames as many are drawn, equally far apart
_MOST_TAKES = 64  # pictures
_GOLDEN = (math.sqrt(5) - 1) / 2
_BACKGROUND = 0.08


def draw_codes(codes: Codes) -> Tensor:
    """RGB pictures [B, height, width, 3] in [0, 1], one per take; dark beyond the end of a take.

    At most ``_MOST_FRAMES`` frames and the first ``_MOST_TAKES`` takes are drawn.
    """
    step = -(-codes.frames // _MOST_FRAMES) or 1
    if step > 1 or codes.batch > _MOST_TAKES:
        tensor = codes.tensor[:_MOST_TAKES, :, ::step]
        lengths = (codes.lengths[:_MOST_TAKES] + step - 1) // step
        codes = codes.like(tensor, lengths, codes.takes[:_MOST_TAKES])
    cell_width = max(1, _WIDTH // max(codes.frames, 1))
    cell_height = max(1, _HEIGHT // codes.codebooks)
    if not codes.frames:
        return torch.full((codes.batch, cell_height, 1, 3), _BACKGROUND)
    # multiples of the golden ratio: neighbouring ids get very different hues
    turn = codes.tensor.double() * _GOLDEN
    rgb = _hue_to_rgb((turn - turn.floor()).float())
    # bright coarse codebooks, dim fine ones
    level = torch.linspace(0.95, 0.45, codes.codebooks)[:, None, None]
    inside = (torch.arange(codes.frames) < codes.lengths[:, None, None])[..., None]
    rgb = (0.25 + 0.75 * rgb) * level * inside + _BACKGROUND * ~inside
    return rgb.repeat_interleave(cell_height, 1).repeat_interleave(cell_width, 2)


def _hue_to_rgb(hue: Tensor) -> Tensor:
    """Hues [...] in [0, 1) -> fully saturated colours [..., 3]."""
    distance = (hue[..., None] * 6 - torch.tensor([3.0, 2.0, 4.0])).abs()
    return (distance * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([-1.0, 2.0, 2.0])).clamp(0, 1)
