"""Critics of sound: convolutions over spectrograms at several resolutions.

The multi-scale STFT discriminator of Defossez et al. 2022 (EnCodec, arXiv 2210.13438), figure 2 and section 3.4, with its hinge
and feature matching losses; but they see levels as ears do, not only amplitudes, of which what is high and faint is hardly a part.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from .spectral import spectrogram

_FLOOR = 1e-3  # of a normalised spectrogram's magnitudes: what is fainter is silence
_COMPRESSED = 0.3  # power of the magnitude that is left beside the phase


class Judged(NamedTuple):
    """What one critic made of a batch."""

    score: Tensor  # [B, 1, frames, bins]; high for real
    features: list[Tensor]  # of each layer, for feature matching


class Critic(nn.Module):
    """Sees windows of one length. Time is dilated, frequency strided."""

    def __init__(self, window: int, filters: int):
        super().__init__()
        self.window = window
        self.register_buffer("hann", torch.hann_window(window), persistent=False)
        layers = [_conv(3, filters, (3, 9))]
        layers += [_conv(filters, filters, (3, 9), stride=(1, 2), dilation=(2**i, 1)) for i in range(3)]
        layers += [_conv(filters, filters, (3, 3))]
        self.layers, self.last = nn.ModuleList(layers), _conv(filters, 1, (3, 3))

    def forward(self, wave: Tensor) -> Judged:
        """Judge wave [B, 1, N]."""
        with torch.autocast(wave.device.type, enabled=False):
            z = spectrogram(wave[:, 0].float(), self.window, self.hann, normalized=True)
            magnitude = (z.real.square() + z.imag.square() + _FLOOR**2).sqrt()
            faint = magnitude ** (_COMPRESSED - 1)
            x = torch.stack((z.real * faint, z.imag * faint, magnitude.log10() + 2), 1).transpose(
                2, 3
            )  # [B, 3, frames, bins]
        x = x.contiguous(
            memory_format=torch.channels_last
        )  # else cuDNN turns every layer's input round, and back
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return Judged(self.last(x), features)


class Critics(nn.Module):
    def __init__(self, windows: tuple[int, ...], filters: int):
        super().__init__()
        self.critics = nn.ModuleList(Critic(w, filters) for w in windows)

    def forward(self, wave: Tensor) -> list[Judged]:
        return [critic(wave) for critic in self.critics]


def critics_loss(real: list[Judged], fake: list[Judged]) -> Tensor:
    """Hinge loss of the critics: real above 1, fake below -1."""
    return sum(
        F.relu(1 - r.score.float()).mean() + F.relu(1 + f.score.float()).mean() for r, f in zip(real, fake)
    ) / len(real)


def codec_losses(real: list[Judged], fake: list[Judged]) -> tuple[Tensor, Tensor]:
    """The codec's side: hinge, and distance of features relative to the real ones' size."""
    hinge = sum(F.relu(1 - f.score.float()).mean() for f in fake) / len(fake)
    distances = [
        F.l1_loss(b.float(), a.detach().float()) / a.detach().float().abs().mean().clamp(min=1e-4)
        for r, f in zip(real, fake)
        for a, b in zip(r.features, f.features)
    ]
    return hinge, sum(distances) / len(distances)


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], stride=(1, 1), dilation=(1, 1)) -> nn.Module:
    padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation))
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation))
