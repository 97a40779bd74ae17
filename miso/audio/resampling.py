"""Waveforms from one sample rate to another."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from ..errors import missing_package


def resample(wave: Tensor, source: int, target: int) -> Tensor:
    """wave [..., N] from one sample rate to another, through torchaudio where it imports, else SciPy."""
    if source == target:
        return wave
    try:
        from torchaudio.functional import resample as torchaudio_resample
    except (
        ImportError,
        OSError,
    ):  # newest ComfyUI no longer brings it; a build for another torch fails on its libraries
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
    return torch.from_numpy(
        resample_poly(wave.cpu().double().numpy(), ratio.numerator, ratio.denominator, axis=-1)
    ).to(wave)
