"""Prepared speech as codes, for training the language model. One .safetensors file holds codes and texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..audio.resampling import resample
from ..errors import MisoError
from ..files import open_tensors, read_header, write_tensors
from ..progress import Progress
from ..vocoders.mimi import load_mimi
from .data import Speech

FORMAT = "miso.coded-speech/1"


@dataclass(frozen=True)
class Utterance:
    """One clip: frames start..start + frames - 1 of the file's codes."""

    text: str
    voice: str
    split: str
    start: int
    frames: int
    phonemes: str = ""


class CodedSpeech:
    """A file written by ``encode_speech``.

    ``codes`` [N, K] int16 are the frames of all utterances, concatenated. Raises MisoError for any other
    file.
    """

    def __init__(self, path: str | Path):
        metadata, entries = read_header(path)
        if metadata.get("format") != FORMAT:
            raise MisoError(
                f"{Path(path).name} is not a file of coded speech.",
                "Make it with: python -m miso train codes",
                input="codes",
            )
        self.path = Path(path)
        about = json.loads(metadata["about"])
        self.codec: str = about["codec"]
        self.codebook_size: int = about["codebook_size"]
        self.frame_rate: float = about["frame_rate"]
        self.voices: list[str] = about["voices"]
        with open_tensors(path) as file:
            self.codes, places = file.get_tensor("codes"), file.get_tensor("places").tolist()
        self.utterances = [
            Utterance(text, voice, split, start, frames, *phonemes)
            for (text, voice, split, *phonemes), (start, frames) in zip(about["utterances"], places)
        ]

    def codes_of(self, utterance: Utterance) -> Tensor:
        """The utterance's frames [T, K]."""
        return self.codes[utterance.start : utterance.start + utterance.frames]

    def split(self, name: str) -> list[Utterance]:
        return [u for u in self.utterances if u.split == name]


def encode_speech(
    speech: Speech,
    codec: str | Path,
    path: str | Path,
    device: torch.device,
    *,
    batch: int = 64,
    codebooks: int | None = None,
    versions: int = 1,
    progress: Progress | None = None,
) -> CodedSpeech:
    """Encode every clip and write the codes to ``path``.

    A clip is encoded from its beginning, as a voice prompt is. With ``versions`` > 1, training clips are
    encoded again after less than a frame of silence: with other frame boundaries the same speech has other
    codes, which reduces overfitting. Speech at another rate than the codec's is resampled.
    """
    mimi = load_mimi(codec, device)
    codebooks, size = codebooks or mimi.config.codebooks, mimi.config.frame_size
    jobs = [
        (clip, version * size // versions)
        for clip in speech.clips
        for version in range(versions if clip.split == "train" else 1)
    ]
    rate = mimi.config.sample_rate
    order = sorted(range(len(jobs)), key=lambda i: jobs[i][0].samples)  # batches of similar lengths
    frames: list[Tensor] = [torch.empty(0)] * len(jobs)
    for first in range(0, len(order), batch):
        part = order[first : first + batch]
        sounds = [resample(torch.from_numpy(speech.wave(jobs[i][0])), speech.rate, rate) for i in part]
        wave = torch.zeros(len(part), 1, _frames(max(map(len, sounds)) + size - 1, size) * size)
        for row, sound, i in zip(wave, sounds, part):
            row[0, jobs[i][1] : jobs[i][1] + len(sound)] = sound
        codes = mimi.encode(wave.to(device), codebooks, chunk=wave.shape[-1] // size)
        codes = codes.transpose(1, 2).to(torch.int16).cpu()  # [B, T, K]
        for row, sound, i in zip(codes, sounds, part):
            # the encoder is causal: the padding after a clip doesn't change its codes
            frames[i] = row[: _frames(len(sound) + jobs[i][1], size)]
        if progress:
            progress(first + len(part), len(order))
    lengths = torch.tensor([len(f) for f in frames])
    starts = lengths.cumsum(0) - lengths
    about = {
        "codec": mimi.codec,
        "codebook_size": mimi.config.codebook_size,
        "frame_rate": mimi.config.frame_rate,
        "voices": speech.voices,
        "utterances": [(clip.text, clip.voice, clip.split, clip.phonemes) for clip, _ in jobs],
    }
    write_tensors(
        path,
        {"codes": torch.cat(frames), "places": torch.stack((starts, lengths), 1)},
        {"format": FORMAT, "about": json.dumps(about)},
    )
    return CodedSpeech(path)


def _frames(samples: int, size: int) -> int:
    return -(-samples // size)
