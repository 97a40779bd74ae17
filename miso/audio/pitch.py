"""The pitch of clean speech by normalised autocorrelation.

Boersma 1993, "Accurate short-term analysis of the fundamental frequency".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LOW, HIGH = 70.0, 500.0  # Hz
WINDOW = 1024  # samples at 24 kHz: three periods of the lowest pitch
_VOICED = 0.5  # minimum autocorrelation of a voiced window
_SILENT = 0.01  # windows below this fraction of the loudest one's root mean square are unvoiced
_OCTAVE = 0.05  # penalty per octave down, because multiples of a period correlate too
_MEDIAN = 5  # windows of the median filter, which removes single octave errors
_UNKNOWN = 150.0  # Hz, if nothing is voiced


def window_size(rate: int) -> int:
    """Samples of a window at ``rate`` Hz."""
    return round(WINDOW * rate / 24_000)


def pitch(wave: Tensor, rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """Pitch in Hz [B, N / hop] and whether it is voiced, of samples [B, N + window_size(rate) - hop].

    Windows are ``hop`` samples apart and lie within the samples. Unvoiced windows have the pitch of the last
    voiced window before them, or of the first one if there is none before; 150 Hz if no window is voiced.
    """
    hann = torch.hann_window(window_size(rate), device=wave.device)
    frames = wave.unfold(1, len(hann), hop)
    frames = (frames - frames.mean(2, keepdim=True)) * hann
    shortest, longest = int(rate / HIGH), int(rate / LOW) + 2  # periods in samples
    r, energy = _correlation(frames, longest)
    window_r, window_energy = _correlation(hann, longest)
    r = r / energy[..., None].clamp(min=1e-9) / (window_r / window_energy)
    lags = torch.arange(longest, device=wave.device)
    score = r - _OCTAVE * (lags.clamp(min=1) * LOW / rate).log2()
    is_peak = torch.zeros_like(r, dtype=torch.bool)
    is_peak[..., 1:-1] = (r[..., 1:-1] > r[..., :-2]) & (r[..., 1:-1] >= r[..., 2:])
    is_peak[..., :shortest] = False
    best = score.masked_fill(~is_peak, -2).argmax(2, keepdim=True).clamp(1, longest - 2)
    # refine the lag by a parabola through the peak and its neighbours
    before, peak, after = (r.gather(2, best + i)[..., 0] for i in (-1, 0, 1))
    shift = ((before - after) / (2 * (before - 2 * peak + after)).clamp(max=-1e-6)).clamp(-0.5, 0.5)
    hertz = rate / (best[..., 0] + shift)
    loudness = energy.sqrt()
    silent = _SILENT * loudness.amax(1, keepdim=True).clamp(min=1e-6)
    voiced = is_peak.any(2) & (peak > _VOICED) & (loudness > silent)
    padded = F.pad(_fill(hertz, voiced)[:, None], (_MEDIAN // 2, _MEDIAN // 2), "replicate")[:, 0]
    return padded.unfold(1, _MEDIAN, 1).median(2).values, voiced


def octaves_off(octaves: Tensor, true: Tensor, voiced: Tensor) -> Tensor:
    """Mean distance, where ``voiced``, of log2 frequencies ``octaves`` from frequencies ``true`` [B, N]."""
    return ((octaves - true.log2()).abs() * voiced).sum() / voiced.sum().clamp(min=1)


def _correlation(frames: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Autocorrelation [..., longest] of frames [..., N], and its value at lag 0 [...]."""
    r = torch.fft.irfft(torch.fft.rfft(frames, 2 * frames.shape[-1]).abs().square())[..., :longest]
    return r, r[..., 0]


def _fill(hertz: Tensor, voiced: Tensor) -> Tensor:
    """The pitch [B, N] with unvoiced windows replaced by the nearest voiced one before, or the first."""
    index = torch.arange(hertz.shape[1], device=hertz.device).expand_as(hertz)
    last = torch.where(voiced, index, -1).cummax(1).values
    first = torch.where(voiced, index, hertz.shape[1] - 1).amin(1, keepdim=True)
    filled = hertz.gather(1, torch.where(last < 0, first, last))
    return torch.where(voiced.any(1, keepdim=True), filled, torch.full_like(filled, _UNKNOWN))
