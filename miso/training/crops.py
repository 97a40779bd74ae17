"""Random crops of prepared speech. All samples are on the training device, so that a batch is one gather."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .content import spell
from .data import RATE, Clip, Speech


class Crop(NamedTuple):
    wave: Tensor  # [B, 1, size] fp32
    clip: Tensor  # [B] index of the clip
    whole: Tensor  # [B] whether the crop contains the whole clip


class Crops:
    """Crops of ``size`` samples of ``clips``; silence surrounds a shorter clip."""

    def __init__(self, samples: Tensor, clips: list[Clip], size: int):
        self.samples, self.size, self.device = samples, size, (device := samples.device)
        self.starts = torch.tensor([c.start for c in clips], device=device)
        self.lengths = torch.tensor([c.samples for c in clips], device=device)
        self._ends = self.lengths.double().cumsum(0)

    def draw(self, batch: int) -> Crop:
        """Random crops; the longer a clip, the more likely, so that all seconds are equally likely."""
        second = torch.rand(batch, dtype=torch.float64, device=self.device) * self._ends[-1]
        clip = torch.searchsorted(self._ends, second, right=True).clamp(max=len(self._ends) - 1)
        return self.cut(clip, torch.rand(batch, dtype=torch.float64, device=self.device))

    def middles(self, count: int = 64) -> Tensor:
        """Samples [B, 1, size] from the middles of the first ``count`` clips: the same on every call."""
        clip = torch.arange(min(count, len(self.starts)), device=self.device)
        return self.cut(clip, torch.full((len(clip),), 0.5, dtype=torch.float64, device=self.device)).wave

    def cut(self, clip: Tensor, place: Tensor, size: int = 0) -> Crop:
        """Crops of the clips [B]; ``place`` [B] in [0, 1) is the position within the clip."""
        lengths, size = self.lengths[clip], size or self.size
        room = lengths - size  # negative: samples of silence to add
        offset = (place * (room.abs() + 1)).long() * room.sign()
        index = offset[:, None] + torch.arange(size, device=self.device)
        inside = (index >= 0) & (index < lengths[:, None])
        samples = self.samples[self.starts[clip, None] + index.clamp(min=0).minimum(lengths[:, None] - 1)]
        return Crop((samples * inside).float().div(32768)[:, None], clip, room <= 0)


class Sentences:
    """Batches of whole clips of similar lengths, for recognition; ``clips`` are sorted by length."""

    def __init__(self, samples: Tensor, clips: list[Clip], frame_size: int):
        self.clips, self.frame_size = sorted(clips, key=lambda clip: clip.samples), frame_size
        self._crops = Crops(samples, self.clips, 0)
        self.device = samples.device

    def draw(self, seconds: float) -> Tensor:
        """Indices [B] of clips of similar lengths, about ``seconds`` in total."""
        middle = int(torch.randint(0, len(self.clips), ()))
        number = max(1, min(len(self.clips), round(seconds * RATE / self.clips[middle].samples)))
        first = max(0, min(middle - number // 2, len(self.clips) - number))
        return torch.arange(first, first + number, device=self.device)

    def wave(self, clip: Tensor) -> Tensor:
        """Samples [B, 1, N] of whole clips, each with a random offset from the frame boundaries."""
        longest = int(self._crops.lengths[clip].max())
        place = torch.rand(len(clip), dtype=torch.float64, device=self.device)
        return self._crops.cut(clip, place, (longest // self.frame_size + 2) * self.frame_size).wave


def samples_of(speech: Speech, device: torch.device, rate: int = RATE) -> Tensor:
    """All samples, int16 [N]: copied to a GPU (1.9 GB for 11 hours), memory-mapped on the CPU.

    Raises MisoError if they aren't at ``rate`` Hz.
    """
    speech.require_rate(rate)
    path = speech.folder / "samples.i16"
    count = path.stat().st_size // 2
    return torch.from_file(str(path), shared=False, size=count, dtype=torch.int16).to(device)


class Words:
    """Texts of clips as targets of the content loss: phonemes if all clips have them, otherwise letters."""

    def __init__(self, clips: list[Clip], device: torch.device):
        self.phonemes = all(c.phonemes for c in clips)
        spelt = [spell(c.text, c.phonemes if self.phonemes else "") for c in clips]
        self.lengths = torch.tensor([len(s) for s in spelt], device=device)
        longest = int(self.lengths.max())
        self.targets = torch.tensor([s + [0] * (longest - len(s)) for s in spelt], device=device)
