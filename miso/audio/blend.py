"""Two sounds as one: mixed, or one in place of the other for a while."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MisoError
from .resampling import resample

FADE = 0.02  # seconds from one sound to the other


def align(waves: Sequence[Tensor], rates: Sequence[int], rate: int) -> list[Tensor]:
    """Waves [B, C, N] at one ``rate``, with the same numbers of takes and channels, silent after their end.

    All begin at sample 0. One take goes with all takes of the others, one channel with all channels. Raises
    MisoError for other numbers that differ.
    """
    waves = [resample(wave, source, rate) for wave, source in zip(waves, rates)]
    takes, channels, samples = (max(wave.shape[axis] for wave in waves) for axis in range(3))
    for wave in waves:
        for what, count, most in (("takes", wave.shape[0], takes), ("channels", wave.shape[1], channels)):
            if count not in (1, most):
                raise MisoError(
                    f"Connect sounds with as many {what}, or with one: these have {most} and {count}.",
                    "Pick Take picks one take before it is decoded." if what == "takes" else "",
                )
    return [F.pad(wave, (0, samples - wave.shape[2])).expand(takes, channels, samples) for wave in waves]


def blend(a: Tensor, b: Tensor, rate: int, share: float, start: float = 0.0, end: float = 0.0) -> Tensor:
    """Wave [B, C, N]: ``a``, with a ``share`` (0 to 1) of ``b`` from ``start`` to ``end`` seconds.

    Both waves have the shape and rate of the result. ``end`` 0 is the end of the sound. The shares add up to
    1, and change within FADE seconds inside the range, except at the ends of the sound. Raises MisoError if
    the share or the range is out of bounds.
    """
    samples, seconds = a.shape[2], a.shape[2] / rate
    if not 0 <= share <= 1:
        raise MisoError(f"share is {share:g}.", "Use 0 (only a) to 1 (only b).", input="share")
    if not 0 <= start < seconds:
        raise MisoError(f"start is {start:g} s; the sound ends at {seconds:.2f} s.", input="start")
    if end and not start < end:
        raise MisoError(f"end is {end:g} s, start {start:g} s.", "Use a later end, or 0.", input="end")
    first, last = round(start * rate), min(round(end * rate), samples) if end else samples
    time = torch.arange(samples)
    fade = max(1, min(round(FADE * rate), (last - first) // 2))
    up = ((time - first + 0.5) / fade).clamp(0, 1) if first else torch.ones(samples)
    down = ((last - time - 0.5) / fade).clamp(0, 1) if last < samples else torch.ones(samples)
    weight = share * torch.minimum(up, down)
    return a * (1 - weight) + b * weight
