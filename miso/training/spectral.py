"""Spectral distance of sounds: log mel spectrograms at several resolutions.

The multi-scale mel loss of Kumar et al. 2023 (DAC, arXiv 2306.06546), section 3.5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# window in samples, mel bands
SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
# added to magnitudes, so that silence, 80 dB below a full-scale sine, doesn't dominate the loss
_FLOOR = 1e-4


class MelLoss(nn.Module):
    """Mean absolute difference of log10 mel magnitudes, averaged over scales of (window, bands)."""

    def __init__(self, rate: int, scales: tuple[tuple[int, int], ...] = SCALES):
        super().__init__()
        self.windows = [window for window, _ in scales]
        for window, bands in scales:
            self.register_buffer(f"hann{window}", torch.hann_window(window), persistent=False)
            mel = mel_bands(rate, window, bands) / (window / 4)  # the sum of a Hann window is window / 2
            self.register_buffer(f"mel{window}", mel, persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The distance [] of x [B, 1, N] and y [B, 1, N], both fp32."""
        parts = [(self._log_mel(x, w) - self._log_mel(y, w)).abs().mean() for w in self.windows]
        return torch.stack(parts).mean()

    def _log_mel(self, x: Tensor, window: int) -> Tensor:
        spectrum = spectrogram(x[:, 0], window, getattr(self, f"hann{window}"))
        # abs() has no gradient at 0, in silence
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()
        return (getattr(self, f"mel{window}") @ magnitude + _FLOOR).log10()


def spectrogram(x: Tensor, window: int, hann: Tensor, normalized: bool = False) -> Tensor:
    """STFT of x [B, N], complex [B, window / 2 + 1, frames]; the hop is a quarter of the window."""
    return torch.stft(
        x,
        window,
        window // 4,
        window=hann,
        center=True,
        pad_mode="reflect",
        normalized=normalized,
        return_complex=True,
    )


def mel_bands(rate: int, window: int, bands: int) -> Tensor:
    """Triangular filters [bands, window / 2 + 1], equally spaced on the mel scale (O'Shaughnessy's formula).

    Each has sum 1. Filters narrower than a bin consist of the nearest bin.
    """

    def mel(hertz: Tensor) -> Tensor:
        return 2595 * torch.log10(1 + hertz / 700)

    bins = mel(torch.linspace(0, rate / 2, window // 2 + 1))
    edges = torch.linspace(0, float(bins[-1]), bands + 2)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp(min=0)
    empty = triangles.sum(1) == 0
    triangles[empty] = torch.nn.functional.one_hot((bins - centre).abs().argmin(1), len(bins)).float()[empty]
    return triangles / triangles.sum(1, keepdim=True)
