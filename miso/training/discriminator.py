"""Discriminators of sound: convolutions over spectrograms at several resolutions.

The multi-scale STFT discriminator of Defossez et al. 2022 (EnCodec, arXiv 2210.13438), figure 2 and section
3.4, with its hinge and feature matching losses. Ours also gets log magnitudes and compressed amplitudes,
because plain amplitudes hardly show high and faint components.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from .spectral import spectrogram

_FLOOR = 1e-3  # least magnitude of a normalised spectrogram
_COMPRESSED = 0.3  # exponent of the magnitudes beside the phase


class Score(NamedTuple):
    """Output of one discriminator."""

    score: Tensor  # [B, 1, frames, bins]; high for real sound
    features: list[Tensor]  # of each layer, for feature matching


class Discriminator(nn.Module):
    """Discriminator at one window length: dilated convolutions in time, strided in frequency."""

    hann: Tensor

    def __init__(self, window: int, filters: int):
        super().__init__()
        self.window = window
        self.register_buffer("hann", torch.hann_window(window), persistent=False)
        layers = [_conv(3, filters, (3, 9))]
        layers += [_conv(filters, filters, (3, 9), stride=(1, 2), dilation=(2**i, 1)) for i in range(3)]
        layers += [_conv(filters, filters, (3, 3))]
        self.layers, self.last = nn.ModuleList(layers), _conv(filters, 1, (3, 3))

    def forward(self, wave: Tensor) -> Score:
        """Score samples [B, 1, N]."""
        with torch.autocast(wave.device.type, enabled=False):
            z = spectrogram(wave[:, 0].float(), self.window, self.hann, normalized=True)
            magnitude = (z.real.square() + z.imag.square() + _FLOOR**2).sqrt()
            compression = magnitude ** (_COMPRESSED - 1)
            x = torch.stack((z.real * compression, z.imag * compression, magnitude.log10() + 2), 1)
            x = x.transpose(2, 3)  # [B, 3, frames, bins]
        # otherwise cuDNN transposes the input of every layer
        x = x.contiguous(memory_format=torch.channels_last)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return Score(self.last(x), features)


class Discriminators(nn.Module):
    """Discriminators at several window lengths."""

    def __init__(self, windows: tuple[int, ...], filters: int):
        super().__init__()
        self.critics = nn.ModuleList(Discriminator(w, filters) for w in windows)

    def forward(self, wave: Tensor) -> list[Score]:
        return [critic(wave) for critic in self.critics]


def discriminator_loss(real: list[Score], fake: list[Score]) -> Tensor:
    """Hinge loss of the discriminators: real above 1, fake below -1."""
    return _mean(
        [F.relu(1 - r.score.float()).mean() + F.relu(1 + f.score.float()).mean() for r, f in zip(real, fake)]
    )


def generator_losses(real: list[Score], fake: list[Score]) -> tuple[Tensor, Tensor]:
    """Losses of the generator: hinge, and distance of features relative to the real ones' magnitude."""
    hinge = _mean([F.relu(1 - f.score.float()).mean() for f in fake])
    distances = [
        F.l1_loss(b.float(), a.detach().float()) / a.detach().float().abs().mean().clamp(min=1e-4)
        for r, f in zip(real, fake)
        for a, b in zip(r.features, f.features)
    ]
    return hinge, _mean(distances)


def _mean(values: list[Tensor]) -> Tensor:
    return sum(values[1:], values[0]) / len(values)


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], stride=(1, 1), dilation=(1, 1)) -> nn.Module:
    padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation))
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation))
