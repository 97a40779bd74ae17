"""Spectrograms: how far two sounds are apart, and pictures of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = -80.0  # dB below the loudest of both, beyond which nothing is heard
_WINDOW, _HOP = 0.032, 0.008  # seconds
_MOMENTS = 20_000  # at most; as many as 160 s have
_WIDTH, _HEIGHT = 512, 256  # pixels of a picture, at most its width
_GAP = 8  # pixels
# dark blue, violet, red, yellow, white, for FLOOR to 0 dB
_COLOURS = ((0.03, 0.03, 0.12), (0.35, 0.08, 0.47), (0.85, 0.25, 0.25), (0.99, 0.75, 0.25), (1.0, 1.0, 0.95))


class Difference(NamedTuple):
    """How a sound differs from another."""

    distance: float  # dB: log-spectral distance at the same loudness
    louder: float  # dB


def difference(a: Tensor, b: Tensor, rate: int) -> Difference:
    """How ``b`` differs from ``a``, both mono [N] at ``rate``.

    The log-spectral distance (Gray and Markel 1976) is the root mean square over frequencies of the
    difference in dB, its mean over the moments in which one of them is heard. It is 0 for the same sound at
    any loudness.
    """
    louder = _level(b) - _level(a)
    first, second = (_decibels(wave / (wave.square().mean().sqrt() + 1e-9), rate) for wave in (a, b))
    top = float(torch.maximum(first.max(), second.max()))
    first, second = (x.clamp(min=top + FLOOR) for x in (first, second))
    heard = torch.maximum(first.amax(0), second.amax(0)) > top + FLOOR / 2
    distances = (first - second).square().mean(0).sqrt()[heard]
    return Difference(float(distances.mean()) if len(distances) else 0.0, louder)


def draw_spectrograms(waves: Sequence[Tensor], rate: int) -> Tensor:
    """One picture [height, width, 3] in [0, 1] of mono waves [N], side by side, 0 Hz at the bottom.

    All share one scale of colours, from FLOOR dB to that of the loudest moment.
    """
    spectra = [_decibels(wave, rate) for wave in waves]
    top = max(max(float(x.max()) for x in spectra), FLOOR)
    panels = []
    for x in spectra:
        scaled = ((x - top) / -FLOOR + 1).clamp(0, 1)
        size = (_HEIGHT, min(_WIDTH, max(1, x.shape[1])))
        panels.append(_colour(F.adaptive_max_pool2d(scaled[None, None], size)[0, 0].flip(0)))
        panels.append(torch.ones(_HEIGHT, _GAP, 3))
    return torch.cat(panels[:-1], 1)


def _decibels(wave: Tensor, rate: int) -> Tensor:
    """Power spectrogram [F, T] in dB; of a long sound, as many moments as fit into memory."""
    size, hop = (max(2, round(seconds * rate)) for seconds in (_WINDOW, _HOP))
    hop = max(hop, wave.shape[-1] // _MOMENTS)
    wave = F.pad(wave, (0, max(0, size - wave.shape[-1])))
    spectrum = torch.stft(
        wave, size, hop, window=torch.hann_window(size), center=True, pad_mode="constant", return_complex=True
    )
    return 10 * torch.log10(spectrum.abs().square() + 1e-10)


def _level(wave: Tensor) -> float:
    return 10 * math.log10(float(wave.square().mean()) + 1e-12)


def _colour(x: Tensor) -> Tensor:
    """Values [H, W] in [0, 1] as colours [H, W, 3]."""
    table = torch.tensor(_COLOURS)
    place = x * (len(table) - 1)
    below = place.floor().long().clamp(max=len(table) - 2)
    part = (place - below)[..., None]
    return table[below] * (1 - part) + table[below + 1] * part
