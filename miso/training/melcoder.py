"""Mel coder: an autoencoder of mel spectrograms around the codec's quantizer, which learns the codes.

A codec trained end to end from samples to samples spends nearly all of its arithmetic at the sample rate, and
its latents collapsed long before it learnt to make sound (WER of resynthesis 94 to 112 %). A mel spectrogram
contains the content already, and eight vectors a frame of it pass through a network a hundred times cheaper.
So codes are learnt here first. Then the codec's encoder learns to give the same latents, and its decoder to
decode the same codes (``codec``). The encoder is causal, like the codec's.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import MisoError
from ..files import open_tensors, read_header, write_tensors
from ..vocoders.mimi.config import MimiConfig
from ..vocoders.mimi.quantizer import SplitQuantizer
from .spectral import mel_bands

FORMAT = "miso.mel-coder/1"
_HOPS = 8  # mel vectors per frame: one every 10 ms
_WINDOW, _FFT, _BANDS = 600, 1024, 80  # 25 ms: short, because its middle lags behind the end of a frame
_FLOOR = 1e-4  # as in ``spectral``


class MelCoder(nn.Module):
    """Samples -> latents, and latents -> mel spectrogram; the codec will have the same ``quantizer``."""

    mean: Tensor
    deviation: Tensor
    hann: Tensor
    bands: Tensor

    def __init__(self, config: MimiConfig, width: int, codec: str = ""):
        super().__init__()
        self.config, self.width, self.codec, self.hop = config, width, codec, config.frame_size // _HOPS
        inputs = _HOPS * _BANDS
        self.encoder = nn.Sequential(
            nn.Linear(inputs, width), *_blocks(width, 2), nn.LayerNorm(width), nn.Linear(width, config.dim)
        )
        self.quantizer = SplitQuantizer(config, True)
        self.decoder = nn.Sequential(
            nn.Linear(config.dim, width), *_blocks(width, 3), nn.LayerNorm(width), nn.Linear(width, inputs)
        )
        self.register_buffer("mean", torch.zeros(_BANDS))
        self.register_buffer("deviation", torch.ones(_BANDS))
        self.register_buffer("hann", torch.hann_window(_WINDOW), persistent=False)
        # scaled so that a full-scale sine has magnitude 1
        bands = mel_bands(config.sample_rate, _FFT, _BANDS) / (_WINDOW / 2)
        self.register_buffer("bands", bands, persistent=False)

    def spectrum(self, wave: Tensor) -> Tensor:
        """Samples [B, 1, T * frame_size] -> log10 mel magnitudes [B, T * 8, 80], by causal windows."""
        x = F.pad(wave[:, 0].float(), (_WINDOW - self.hop, 0)).unfold(-1, _WINDOW, self.hop) * self.hann
        return (torch.fft.rfft(x, _FFT).abs() @ self.bands.T + _FLOOR).log10()

    def features(self, wave: Tensor) -> Tensor:
        """The spectrum, normalised by mean and deviation of each band, one vector per frame [B, T, 640]."""
        return ((self.spectrum(wave) - self.mean) / self.deviation).unflatten(1, (-1, _HOPS)).flatten(2)

    def analyse(self, wave: Tensor) -> Tensor:
        """Samples [B, 1, T * frame_size] -> the latent before quantization [B, dim, T]."""
        return self.encoder(self.features(wave)).transpose(1, 2)

    def synthesise(self, latent: Tensor) -> Tensor:
        """The quantized latent [B, dim, T] -> features [B, T, 640]."""
        return self.decoder(latent.transpose(1, 2))

    @torch.no_grad()
    def measure(self, wave: Tensor) -> None:
        """Set mean and deviation of the bands from samples [B, 1, N]."""
        x = self.spectrum(wave).flatten(0, 1)
        self.mean.copy_(x.mean(0))
        self.deviation.copy_(x.std(0).clamp(min=1e-2))

    def save(self, path: Path) -> None:
        about = {
            "format": FORMAT,
            "config": self.config.to_json(),
            "width": json.dumps(self.width),
            "codec": self.codec,
        }
        write_tensors(path, {n: t.detach().cpu().contiguous() for n, t in self.state_dict().items()}, about)

    @classmethod
    def load(cls, path: str | Path, device: torch.device) -> MelCoder:
        """Load a file written by ``save``. Raises MisoError for any other file."""
        metadata, entries = read_header(path)
        if metadata.get("format") != FORMAT:
            raise MisoError(
                f"{Path(path).name} is not a mel coder.",
                "Make it with: python -m miso train coder",
                input="coder",
            )
        coder = cls(
            MimiConfig.from_json(metadata["config"]), json.loads(metadata["width"]), metadata["codec"]
        )
        with open_tensors(path) as file:
            coder.load_state_dict({name: file.get_tensor(name) for name in entries})
        return coder.to(device).eval().requires_grad_(False)


class _Block(nn.Module):
    """Causal convolution with a residual connection: x [B, T, width] -> [B, T, width]."""

    def __init__(self, width: int, kernel: int = 3):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, kernel)
        self.out = nn.Linear(width, width)
        self.padding = kernel - 1
        with torch.no_grad():
            self.out.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(F.pad(self.norm(x).transpose(1, 2), (self.padding, 0))).transpose(1, 2)
        return x + self.out(F.gelu(y))


def _blocks(width: int, number: int) -> list[nn.Module]:
    return [_Block(width) for _ in range(number)]
