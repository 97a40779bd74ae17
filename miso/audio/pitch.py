"""The pitch of clean speech, by normalised autocorrelation (Boersma 1993, "Accurate short-term analysis of the fundamental frequency")."""

from __future__ import annotations

import torch
from torch import Tensor

LOW, HIGH = 70.0, 500.0  # Hz
WINDOW = 1024  # samples at 24 kHz: three periods of the lowest pitch
_VOICED = 0.5  # least autocorrelation
_SILENT = 0.01  # of the loudest window's root mean square: what is quieter has no pitch
_OCTAVE = 0.05  # cost of an octave down, since twice a period is a period too
_MEDIAN = 5  # windows, against single octave errors


def pitch(wave: Tensor, rate: int, hop: int) -> tuple[Tensor, Tensor]:
    """Samples [B, N + WINDOW - hop] -> hertz [B, N / hop] and whether voiced, of windows a hop apart that lie within the samples.

    What isn't voiced has the pitch of what was voiced before it, or else after it; 150 Hz where nothing was.
    """
    frames = wave.unfold(1, WINDOW, hop)
    hann = torch.hann_window(WINDOW, device=wave.device)
    frames = (frames - frames.mean(2, keepdim=True)) * hann
    shortest, longest = int(rate / HIGH), int(rate / LOW) + 2
    r, r0 = _correlation(frames, longest)
    w, w0 = _correlation(hann, longest)
    r = r / r0[..., None].clamp(min=1e-9) / (w / w0)
    lags = torch.arange(longest, device=wave.device)
    score = r - _OCTAVE * (lags.clamp(min=1) * LOW / rate).log2()
    peak = torch.zeros_like(r, dtype=torch.bool)
    peak[..., 1:-1] = (r[..., 1:-1] > r[..., :-2]) & (r[..., 1:-1] >= r[..., 2:])
    peak[..., :shortest] = False
    best = score.masked_fill(~peak, -2).argmax(2, keepdim=True).clamp(1, longest - 2)
    before, at, after = (r.gather(2, best + i)[..., 0] for i in (-1, 0, 1))
    shift = ((before - after) / (2 * (before - 2 * at + after)).clamp(max=-1e-6)).clamp(-0.5, 0.5)
    hertz = rate / (best[..., 0] + shift)
    loud = r0.sqrt()
    voiced = peak.any(2) & (at > _VOICED) & (loud > _SILENT * loud.amax(1, keepdim=True).clamp(min=1e-6))
    filled = _fill(hertz, voiced)
    smooth = (
        torch.nn.functional.pad(filled[:, None], (_MEDIAN // 2, _MEDIAN // 2), "replicate")[:, 0]
        .unfold(1, _MEDIAN, 1)
        .median(2)
        .values
    )
    return smooth, voiced


def octaves_off(octaves: Tensor, true: Tensor, voiced: Tensor) -> Tensor:
    """Mean distance of octaves [B, N] from the frequencies ``true`` (1 is 0 octaves), where it is voiced."""
    return ((octaves - true.log2()).abs() * voiced).sum() / voiced.sum().clamp(min=1)


def _correlation(frames: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Autocorrelation [..., longest] of frames [..., WINDOW], and at lag 0."""
    r = torch.fft.irfft(torch.fft.rfft(frames, 2 * WINDOW).abs().square())[..., :longest]
    return r, r[..., 0]


def _fill(hertz: Tensor, voiced: Tensor) -> Tensor:
    """Values [B, N] of voiced windows, held where they aren't."""
    index = torch.arange(hertz.shape[1], device=hertz.device).expand_as(hertz)
    last = torch.where(voiced, index, -1).cummax(1).values
    first = torch.where(voiced, index, hertz.shape[1] - 1).amin(1, keepdim=True)
    held = hertz.gather(1, torch.where(last < 0, first, last))
    return torch.where(voiced.any(1, keepdim=True), held, torch.full_like(held, 150.0))
