"""Loudness as broadcasters measure it (ITU-R BS.1770), and gain towards a target."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ..errors import MisoError, missing_package
from .resampling import resample

LEAST = 0.4  # seconds of one block of the measurement; shorter sounds are padded
OVERSAMPLING = 4  # as BS.1770 asks for true peaks


class Level(NamedTuple):
    loudness: float  # LUFS; -inf for silence
    peak: float  # dBTP, between samples too


def measure(wave: Tensor, rate: int) -> Level:
    """Level of a wave [C, N]. Raises MisoError if pyloudnorm is missing."""
    try:
        from pyloudnorm import Meter
    except ImportError:
        raise missing_package("pyloudnorm", "Measuring loudness") from None
    padded = F.pad(wave, (0, max(0, round(LEAST * rate) + 1 - wave.shape[-1])))
    peak = float(resample(wave, rate, OVERSAMPLING * rate).abs().max())
    if not peak:
        return Level(-math.inf, -math.inf)
    loudness = float(Meter(rate).integrated_loudness(padded.T.double().numpy()))
    return Level(loudness, 20 * math.log10(peak))


def to_loudness(wave: Tensor, rate: int, target: float, ceiling: float) -> tuple[Tensor, Level]:
    """The wave [C, N] at ``target`` LUFS, and the level it then has.

    The gain is one number, so the sound itself stays as it is; it is lower where a peak would pass
    ``ceiling`` dBTP. Raises MisoError if the target or the ceiling is above 0.
    """
    for name, value, usual in (("lufs", target, "-16 for a podcast"), ("peak", ceiling, "-1")):
        if not -70 <= value <= 0:
            raise MisoError(f"{name} is {value:g}.", f"Use -70 to 0; {usual} is usual.", input=name)
    level = measure(wave, rate)
    if level.loudness == -math.inf:
        return wave, level
    gain = min(target - level.loudness, ceiling - level.peak)
    return wave * 10 ** (gain / 20), Level(level.loudness + gain, level.peak + gain)
