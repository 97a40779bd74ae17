"""Listener: a phoneme recogniser whose features measure whether two sounds are understood alike.

A deep feature loss (Germain et al. 2018, arXiv 1806.10522) on features of a recogniser of our own, trained by
CTC (Graves et al. 2006) on the training speech. The recognisers of the evaluation are not used in training.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import MisoError
from ..files import open_tensors, read_header, write_tensors
from .data import RATE
from .spectral import mel_bands

FORMAT = "miso.listener/1"
_WINDOW, _HOP, _BANDS = 600, 240, 80  # windows of 25 ms, every 10 ms
FRAME = 2 * _HOP  # samples per step of the output
_FLOOR = 1e-4  # as in ``spectral``


class Listener(nn.Module):
    """Samples [B, 1, N] at 24 kHz -> log probabilities [B, T, symbols + 1] at 50 Hz; 0 is CTC's blank."""

    hann: Tensor
    bands: Tensor

    def __init__(self, symbols: int, width: int = 256, blocks: int = 6):
        super().__init__()
        self.symbols, self.width = symbols, width
        self.front = nn.Conv1d(_BANDS, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, symbols + 1)
        self.register_buffer("hann", torch.hann_window(_WINDOW), persistent=False)
        self.register_buffer("bands", mel_bands(RATE, 1024, _BANDS) / (_WINDOW / 2), persistent=False)

    def spectrum(self, wave: Tensor) -> Tensor:
        """Log mel magnitudes [B, bands, frames] of samples [B, 1, N], scaled to about -1 to 1."""
        x = F.pad(wave[:, 0].float(), (_WINDOW // 2, _WINDOW // 2)).unfold(-1, _WINDOW, _HOP) * self.hann
        bins = torch.fft.rfft(x, 1024)
        power = bins.real.square() + bins.imag.square() + 1e-12
        return ((power.sqrt() @ self.bands.T + _FLOOR).log10() / 2 + 1).transpose(1, 2)

    def forward(self, wave: Tensor) -> Tensor:
        return self.read(self.features(self.spectrum(wave))[-1])

    def features(self, spectrum: Tensor) -> list[Tensor]:
        """Outputs [B, T, width] of all blocks for a spectrum [B, bands, frames]."""
        x, outputs = self.front(spectrum).transpose(1, 2), []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs

    def read(self, x: Tensor) -> Tensor:
        """Features of the last block [B, T, width] -> log probabilities [B, T, symbols + 1]."""
        return self.last(self.norm(x)).float().log_softmax(-1)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of features of samples x from those of y [B, 1, N], averaged over blocks.

        It is relative to the deviation of y's features: about 1 for unrelated sounds. Only x gets gradients.
        """
        with torch.no_grad():
            theirs = self.features(self.spectrum(y))
        ours = self.features(self.spectrum(x))
        parts = [(a - b).abs().mean() / (b - b.mean((0, 1))).abs().mean() for a, b in zip(ours, theirs)]
        return torch.stack(parts).mean()

    def save(self, path: Path) -> None:
        sizes = {"symbols": self.symbols, "width": self.width, "blocks": len(self.blocks)}
        write_tensors(
            path,
            {n: t.detach().cpu().contiguous() for n, t in self.state_dict().items()},
            {"format": FORMAT, "sizes": json.dumps(sizes)},
        )

    @classmethod
    def load(cls, path: str | Path, device: torch.device) -> Listener:
        """Load a file written by ``save``. Raises MisoError for any other file."""
        metadata, entries = read_header(path)
        if metadata.get("format") != FORMAT:
            raise MisoError(
                f"{Path(path).name} is not a listener.",
                "Make it with: python -m miso train listener",
                input="listener",
            )
        listener = cls(**json.loads(metadata["sizes"]))
        with open_tensors(path) as file:
            listener.load_state_dict({name: file.get_tensor(name) for name in entries})
        return listener.to(device).eval().requires_grad_(False)


class _Block(nn.Module):
    """ConvNeXt block with a residual connection, not causal: x [B, T, width] -> [B, T, width]."""

    def __init__(self, width: int, kernel: int = 15):
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.3 * self.down(F.gelu(self.up(self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2)))))
