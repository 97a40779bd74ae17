"""Silence at both ends of a recording."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MisoError

WINDOW = 0.02  # seconds over which the level is taken
FADE = 0.005  # seconds of the fade at a cut, so that it doesn't click


def trim_silence(wave: Tensor, rate: int, threshold: float = -40.0, keep: float = 0.1) -> Tensor:
    """The wave [B, C, N] from ``keep`` seconds before the first sound to ``keep`` seconds after the last.

    Sound is what is louder than ``threshold`` dB below the loudest 20 ms. All takes and channels are cut at
    the same places, faded there, and nothing is cut of a wave without sound. Raises MisoError if threshold or
    keep is out of range.
    """
    if not -100 <= threshold < 0:
        raise MisoError(f"threshold is {threshold:g} dB.", "Use -100 to -1; -40 is usual.", input="threshold")
    if not 0 <= keep <= 60:
        raise MisoError(f"keep is {keep:g} s.", "Use 0 to 60.", input="keep")
    window, samples = max(1, round(WINDOW * rate)), wave.shape[2]
    padded = F.pad(wave, (0, -samples % window))
    level = padded.unflatten(2, (-1, window)).square().mean(3).amax((0, 1)).sqrt()  # [windows]
    loud = (level > level.max() * 10 ** (threshold / 20)).nonzero().flatten()
    if not len(loud):
        return wave
    start = max(0, int(loud[0]) * window - round(keep * rate))
    end = min(samples, (int(loud[-1]) + 1) * window + round(keep * rate))
    return cut_out(wave, rate, start, end)


def cut_out(wave: Tensor, rate: int, start: int, end: int) -> Tensor:
    """Samples start..end-1 of a wave [..., N], faded where something was cut off."""
    cut = wave[..., start:end].clone()
    fade = torch.linspace(0, 1, max(2, min(round(FADE * rate), cut.shape[-1] // 2)))
    if start:
        cut[..., : len(fade)] *= fade
    if end < wave.shape[-1]:
        cut[..., -len(fade) :] *= fade.flip(0)
    return cut
