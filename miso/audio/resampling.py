"""Resampling of waveforms."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import torch
from torch import Tensor

from ..errors import MisoError, missing_package
from ..limits import MAX_SAMPLES

# torchaudio holds a filter for every phase of the ratio: 44,101 Hz to 24,000 would take 12 GB. SciPy's cost
# doesn't grow so. 44,100 to 24,000 has 147 and 80 phases.
_MOST_PHASES = 1000


def resample(wave: Tensor, source: int, target: int) -> Tensor:
    """Resample a wave [..., N] from ``source`` to ``target`` Hz, with torchaudio where it is there and quick
    at it, else SciPy.

    Raises MisoError if neither is installed, and if the result would be too long to be held.
    """
    if source == target:
        return wave
    if wave.numel() * target > MAX_SAMPLES * source:
        seconds = wave.shape[-1] / source
        raise MisoError(
            f"This is too much sound: {seconds:,.0f} s at {source} Hz.",
            "Cut it into shorter ones, or set the sample rate that it was recorded with.",
        )
    if max(source, target) // gcd(source, target) > _MOST_PHASES:
        return _scipy_resample(wave, source, target)
    try:
        from torchaudio.functional import resample as torchaudio_resample
    except (
        ImportError,
        OSError,
    ):  # OSError: a build for another version of torch fails to load its libraries
        return _scipy_resample(wave, source, target)
    return torchaudio_resample(wave, source, target, lowpass_filter_width=64, rolloff=0.95)


def _scipy_resample(wave: Tensor, source: int, target: int) -> Tensor:
    try:
        from scipy.signal import resample_poly
    except ImportError:
        raise missing_package(
            "torchaudio", f"Resampling from {source} to {target} Hz", "pip install scipy (or torchaudio)"
        ) from None
    ratio = Fraction(target, source)
    samples = wave.cpu().double().numpy()
    return torch.from_numpy(resample_poly(samples, ratio.numerator, ratio.denominator, axis=-1)).to(wave)
