"""Resampling of waveforms."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from ..errors import missing_package


def resample(wave: Tensor, source: int, target: int) -> Tensor:
    """Resample a wave [..., N] from ``source`` to ``target`` Hz with torchaudio, or SciPy if that is missing.

    Raises MisoError if neither is installed.
    """
    if source == target:
        return wave
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
