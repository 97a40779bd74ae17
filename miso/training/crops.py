"""Random pieces of prepared speech, all of it on the training device: a batch is one gather, nothing waits for a disk."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .content import spell
from .data import RATE, Clip, Speech


class Crop(NamedTuple):
    wave: Tensor  # [B, 1, size] fp32
    clip: Tensor  # [B] which clip each is of
    whole: Tensor  # [B] whether all of it is in


class Crops:
    """Pieces of ``size`` samples of ``clips``; a shorter clip lies anywhere in its piece, with silence around it."""

    def __init__(self, samples: Tensor, clips: list[Clip], size: int):
        self.samples, self.size, self.device = samples, size, (device := samples.device)
        self.starts = torch.tensor([c.start for c in clips], device=device)
        self.lengths = torch.tensor([c.samples for c in clips], device=device)
        self._ends = self.lengths.double().cumsum(0)

    def draw(self, batch: int) -> Crop:
        """Clips by their length, so that every second is as likely as any other."""
        at = torch.rand(batch, dtype=torch.float64, device=self.device) * self._ends[-1]
        clip = torch.searchsorted(self._ends, at, right=True).clamp(max=len(self._ends) - 1)
        return self.cut(clip, torch.rand(batch, dtype=torch.float64, device=self.device))

    def middles(self, most: int = 64) -> Tensor:
        """Samples [B, 1, size] of the first clips, each cut in its middle: the same every time."""
        clip = torch.arange(min(most, len(self.starts)), device=self.device)
        return self.cut(clip, torch.full((len(clip),), 0.5, dtype=torch.float64, device=self.device)).wave

    def cut(self, clip: Tensor, place: Tensor, size: int = 0) -> Crop:
        """Pieces of the clips [B], of ``size`` samples if given; ``place`` [B] in [0, 1) says where in the room there is."""
        lengths, size = self.lengths[clip], size or self.size
        room = lengths - size  # negative: silence to be put around
        offset = (place * (room.abs() + 1)).long() * room.sign()
        index = offset[:, None] + torch.arange(size, device=self.device)
        inside = (index >= 0) & (index < lengths[:, None])
        samples = self.samples[self.starts[clip, None] + index.clamp(min=0).minimum(lengths[:, None] - 1)]
        return Crop((samples * inside).float().div(32768)[:, None], clip, room <= 0)


class Sentences:
    """Batches of whole clips of about equal length, as reading wants them; ``clips`` are in the order of their lengths."""

    def __init__(self, samples: Tensor, clips: list[Clip], frame_size: int):
        self.clips, self.frame_size = sorted(clips, key=lambda clip: clip.samples), frame_size
        self._crops = Crops(samples, self.clips, 0)
        self.device = samples.device

    def draw(self, seconds: float) -> Tensor:
        """Neighbours in length [B], of about so many seconds together; every clip is as likely as any other."""
        at = int(torch.randint(0, len(self.clips), ()))
        number = max(1, min(len(self.clips), round(seconds * RATE / self.clips[at].samples)))
        first = max(0, min(at - number // 2, len(self.clips) - number))
        return torch.arange(first, first + number, device=self.device)

    def wave(self, clip: Tensor) -> Tensor:
        """Samples [B, 1, N] of whole clips, each beginning anywhere within a frame, so that no cut into frames is learnt by heart."""
        longest = int(self._crops.lengths[clip].max())
        place = torch.rand(len(clip), dtype=torch.float64, device=self.device)
        return self._crops.cut(clip, place, (longest // self.frame_size + 2) * self.frame_size).wave


def samples_of(speech: Speech, device: torch.device) -> Tensor:
    """All samples, int16 [N]: on a GPU copied there (1.9 GB for 11 hours), on the CPU mapped and not read."""
    path = speech.folder / "samples.i16"
    return torch.from_file(str(path), shared=False, size=path.stat().st_size // 2, dtype=torch.int16).to(
        device
    )


class Words:
    """What clips say, as targets of the content loss: phonemes where all clips have them, else letters."""

    def __init__(self, clips: list[Clip], device: torch.device):
        self.phonemes = all(c.phonemes for c in clips)
        spelt = [spell(c.text, c.phonemes if self.phonemes else "") for c in clips]
        self.lengths = torch.tensor([len(s) for s in spelt], device=device)
        longest = int(self.lengths.max())
        self.targets = torch.tensor([s + [0] * (longest - len(s)) for s in spelt], device=device)
