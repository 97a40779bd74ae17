"""Changes of speech that make a codec robust: other voices, levels, rooms, microphones and noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SPEEDS = (0.8, 1.25)  # pitch and tempo change together, which makes larger and smaller speakers
_RESAMPLED = 0.5  # shares of the samples of a batch that are changed in each way
_COLOURED = 0.5
_NOISY = 0.3
_ECHOING = 0.15
_BANDS = 10  # points of a random frequency response, equally spaced in octaves
_LOWEST = 60.0  # Hz


class Augment:
    """Draws what the encoder hears and what it is to reproduce, from longer crops.

    Both have the same speed, level and frequency response. Noise and echo are only heard, so that the codec
    learns to leave them out. All sizes are fixed, and random numbers are drawn on the device.
    """

    def __init__(self, rate: int, size: int, device: torch.device):
        """``size``: samples of the results."""
        self.rate, self.size, self.device = rate, size, device
        self.longer = math.ceil(size * SPEEDS[1]) + 4  # samples needed

    def __call__(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Crops [B, 1, longer] -> heard [B, 1, size], clean [B, 1, size]."""
        clean = self._coloured(self._resampled(wave[:, 0]))
        level = 10 ** (self._uniform(clean, -0.7, 0.2))
        clean = (clean * level).clamp(-1, 1)
        heard = torch.where(self._chance(clean, _ECHOING), self._echoing(clean), clean)
        loudness = clean.square().mean(1, keepdim=True).sqrt()
        noise = self._coloured(torch.randn_like(clean), always=True) * loudness
        noise = noise * 10 ** self._uniform(clean, -1.75, -0.5)  # 35 to 10 dB below the speech
        heard = torch.where(self._chance(clean, _NOISY), heard + noise, heard)
        return heard[:, None], clean[:, None]

    def _uniform(self, like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(like), 1, device=self.device)

    def _chance(self, like: Tensor, share: float) -> Tensor:
        return torch.rand(len(like), 1, device=self.device) < share

    def _resampled(self, wave: Tensor) -> Tensor:
        """Read [B, longer] at another speed: cubic interpolation (Catmull and Rom 1974) to [B, size]."""
        low, high = map(math.log, SPEEDS)
        speed = self._uniform(wave, low, high).exp()
        speed = torch.where(self._chance(wave, _RESAMPLED), speed, torch.ones_like(speed))
        place = 1 + torch.arange(self.size, device=self.device) * speed
        first = place.long()
        t = place - first
        a, b, c, d = (wave.gather(1, first + i) for i in (-1, 0, 1, 2))
        return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))

    def _coloured(self, wave: Tensor, always: bool = False) -> Tensor:
        """Filter [B, N] by random smooth frequency responses of +-8 dB."""
        spectrum = torch.fft.rfft(wave)
        hertz = torch.linspace(0, self.rate / 2, spectrum.shape[1], device=self.device)
        octaves = (hertz.clamp(min=_LOWEST) / _LOWEST).log2()
        place = octaves / octaves[-1] * (_BANDS - 1.001)
        gains = (torch.rand(len(wave), _BANDS, device=self.device) - 0.5) * 0.8
        first = place.long()
        share = place - first
        response = 10 ** (gains[:, first] * (1 - share) + gains[:, first + 1] * share)
        filtered = torch.fft.irfft(spectrum * response, wave.shape[1])
        return filtered if always else torch.where(self._chance(wave, _COLOURED), filtered, wave)

    def _echoing(self, wave: Tensor) -> Tensor:
        """Add decaying noise as the response of a room: [B, N] -> [B, N]."""
        length = self.rate // 3
        seconds = torch.arange(length, device=self.device) / self.rate
        decay = (-6.9 * seconds / self._uniform(wave, 0.1, 0.5)).exp()
        response = torch.randn(len(wave), length, device=self.device) * decay
        response = response / response.square().sum(1, keepdim=True).sqrt() * self._uniform(wave, 0.1, 0.5)
        response[:, 0] = 1.0
        total = wave.shape[1] + length
        spectrum = torch.fft.rfft(F.pad(wave, (0, length))) * torch.fft.rfft(
            F.pad(response, (0, wave.shape[1]))
        )
        return torch.fft.irfft(spectrum, total)[:, : wave.shape[1]]
