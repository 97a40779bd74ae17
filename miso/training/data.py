"""Prepared speech: one file of samples and one index, written by ``prepare``.

    folder/samples.i16    16-bit samples of all clips, concatenated, at ``RATE``; memory-mapped for reading
    folder/clips.jsonl    one line for each clip: its file, text, voice, and the position of its samples
    folder/rate.json      the sample rate in Hz, if it isn't ``RATE``

The first two are only appended to, samples first: an interrupted run resumes after the last complete line.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MisoError
from ..files import read_json

RATE = 24_000


@dataclass(frozen=True)
class Clip:
    """One utterance. ``voice`` is a name, followed by "@speed" if the sound was resampled."""

    file: str
    text: str
    voice: str
    start: int  # its first sample in samples.i16
    samples: int
    phonemes: str = ""

    @property
    def line(self) -> int:
        """Number of the sentence: the number in the file's name, otherwise a checksum of the text."""
        stem = Path(self.file).stem
        return int(stem) if stem.isdecimal() else zlib.crc32(self.text.encode())

    @property
    def split(self) -> str:
        """train, validation (2 %) or test (2 %), by sentence, so that no voice trains on held-out ones."""
        return {17: "validation", 42: "test"}.get(self.line % 50, "train")

    @property
    def perturbed(self) -> bool:
        return "@" in self.voice


class Speech:
    """A folder written by ``prepare``. Raises MisoError if it contains no clips."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.rate = read_rate(self.folder)
        self.clips = read_clips(self.folder / "clips.jsonl")
        if not self.clips:
            raise MisoError(
                f"{self.folder} contains no prepared speech.", "Make it with: python -m miso train prepare"
            )

    def require_rate(self, rate: int) -> None:
        """Raise MisoError unless the samples are at ``rate`` Hz."""
        if self.rate != rate:
            raise MisoError(
                f"{self.folder.name} was prepared at {self.rate} Hz; this needs {rate} Hz.",
                f"Prepare the speech again, into another folder, with --rate {rate}.",
                input="speech",
            )

    @cached_property
    def samples(self) -> np.ndarray:
        """All samples, int16 [N], memory-mapped."""
        return np.memmap(self.folder / "samples.i16", np.int16, "r")

    def wave(self, clip: Clip) -> np.ndarray:
        """The clip's samples [n] in [-1, 1)."""
        return self.samples[clip.start : clip.start + clip.samples].astype(np.float32) / 32768

    def split(self, name: str) -> list[Clip]:
        return [c for c in self.clips if c.split == name]

    def training_clips(self) -> list[Clip]:
        """The clips to train on. Raises MisoError if there are none."""
        clips = self.split("train")
        if not clips:
            raise MisoError(f"{self.folder} has no clips to train on.", "Prepare more speech.")
        return clips

    def validation_clips(self) -> list[Clip]:
        """The clips for validation; the training clips if the speech is too short for others."""
        return self.split("validation") or self.training_clips()

    @cached_property
    def voices(self) -> list[str]:
        """The unperturbed voices; the index of a voice is its speaker number."""
        return sorted({c.voice for c in self.clips if not c.perturbed})

    @property
    def record(self) -> dict[str, Any]:
        """Description for a run's record. If ``held_out`` is 0, held-out figures are of training clips."""
        return {"folder": self.folder.name, "voices": self.voices, "held_out": len(self.split("validation"))}


def clip_line(clip: Clip) -> str:
    return json.dumps(asdict(clip)) + "\n"


def read_rate(folder: Path) -> int:
    """The sample rate of a folder of prepared speech, in Hz."""
    path = folder / "rate.json"
    return int(read_json(path)) if path.is_file() else RATE


def read_clips(index: Path) -> list[Clip]:
    if not index.is_file():
        return []
    # an interrupted run may leave a last line without a newline
    return [
        Clip(**json.loads(line))
        for line in index.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("\n")
    ]
