"""How well a checkpoint speaks: sentences it never saw, heard by recognisers, and measured on a CPU as users have it.

With prepared speech as ``source`` the sentences are its test split's, so that four systems say the same in the same voices:
``source`` (the ceiling), ``codec`` (what coding leaves of it), ``model``, and ``prompted``: the model under a speaker number of no
voice, which knows the voice only from another clip's codes. Without it the model says the sentences of ``sentences.txt``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..audio.files import write_audio
from ..audio.resampling import resample
from ..codes.codes import Codes
from ..errors import MisoError
from ..model.sampling import Sampling
from ..speech import Miso
from ..text.conditioning import Segment
from ..vocoders import Vocoder, load_vocoder
from ..vocoders.encode import encode_codes
from . import judges as judging
from .data import Clip, Speech
from .figures import Spoken, expected_seconds, figures, normaliser

SENTENCES = Path(__file__).with_name("sentences.txt")
_CHUNK = 6  # frames decoded at once after the first
_REFERENCES = 20  # clips that a voice is known by
_UNNAMED = 9  # a speaker number that no voice has


class Task(NamedTuple):
    """A sentence, who is to say it, and, where there is one, the clip of it."""

    text: str
    speaker: int
    voice: str
    clip: Clip | None = None


class Ears:
    """The judges, and what each voice sounds like."""

    def __init__(self, names: Sequence[str] | None, threads: int, log: Callable[[str], None]):
        names = judging.installed() if names is None else list(names)
        unknown = [n for n in names if n not in judging.JUDGES]
        if unknown:
            raise MisoError(
                f"There is no judge '{unknown[0]}'.",
                f"Use any of: {', '.join(judging.JUDGES)}.",
                input="judges",
            )
        if not names:
            log("No judge is installed: only lengths and speed are measured. " + judging.Whisper.install)
        self.judges = {n: judging.judge(n, threads) for n in names}
        self.voices: dict[str, np.ndarray] = {}

    def learn(self, voice: str, waves: Iterable[Tensor], rate: int) -> None:
        """Take note of a voice from some of its clips."""
        if embed := self.judges.get("resemblyzer"):
            mean = np.mean([embed(self._heard(w, rate)) for w in waves], 0)
            self.voices[voice] = mean / np.linalg.norm(mean)

    def judge(self, clip: Spoken, wave: Tensor, rate: int) -> Spoken:
        heard = self._heard(wave, rate)
        if len(heard) < judging.RATE // 10:
            return clip  # nothing was said: no transcript is all deletions, no voice is no voice
        for name in ("whisper", "moonshine"):
            if name in self.judges:
                clip.heard[name] = self.judges[name](heard)
        if "distillmos" in self.judges:
            clip.mos = self.judges["distillmos"](heard)
        if len(self.voices) > 1 and clip.speaker in self.voices:
            vector = self.judges["resemblyzer"](heard)
            likeness = {v: float(vector @ mean) for v, mean in self.voices.items()}
            clip.own, clip.other = likeness.pop(clip.speaker), max(likeness.values())
        return clip

    @staticmethod
    def _heard(wave: Tensor, rate: int) -> np.ndarray:
        return resample(wave.float().reshape(-1), rate, judging.RATE).numpy()


def evaluate(
    checkpoint: str | Path,
    codec: str | Path,
    *,
    vocoder: str | Path | None = None,
    sentences: int = 200,
    source: str | Path | None = None,
    judges: Sequence[str] | None = None,
    speakers: Sequence[int] = (0, 1),
    sampling: Sampling | None = None,
    seed: int = 0,
    threads: int = 2,
    keep: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    log: Callable[[str], None] = print,
) -> dict:
    """Figures by system, and everything they are made of. ``codec`` encodes, ``vocoder`` (the codec if None) makes all sound."""
    ears = Ears(judges, threads, log)
    torch.set_num_threads(threads)
    miso, coder, vocoder = (
        Miso(checkpoint, device="cpu"),
        load_vocoder("mimi", codec),
        load_vocoder("auto", vocoder or codec),
    )
    for name, part in (("codec", coder), ("vocoder", vocoder)):
        if part.codec != miso.checkpoint.config.codec:
            raise MisoError(
                f"The {name} is of '{part.codec}', the checkpoint speaks '{miso.checkpoint.config.codec}'.",
                "Name the checkpoint's own.",
                input=name,
            )
    sampling = sampling or miso.sampling
    speech = Speech(source) if source else None
    tasks = _tasks(speech, sentences, speakers)
    prompts = _meet_voices(ears, speech, coder) if speech else {}
    spoken: list[Spoken] = []

    def done(clip: Spoken, wave: Tensor, rate: int) -> None:
        spoken.append(ears.judge(clip, wave, rate))
        if keep and wave.numel():
            write_audio(Path(keep) / clip.system / f"{len(spoken):04d}.flac", wave, rate)

    _say(
        miso, vocoder, [Segment("Warm up.", 0)], 0, sampling, 1.0
    )  # first calls are slower, and no user's only ones
    for i, task in enumerate(tasks):
        if task.clip:
            wave = torch.from_numpy(speech.wave(task.clip))
            done(Spoken("source", task.text, task.voice, len(wave) / 24_000), wave, 24_000)
            wave = vocoder.decode(coder.encode(wave[None, None]))[0, 0]
            done(
                Spoken("codec", task.text, task.voice, len(wave) / vocoder.sample_rate),
                wave,
                vocoder.sample_rate,
            )
        limit = 2.5 * expected_seconds(task.text) + 1
        for system, segments in (
            ("model", [Segment(task.text, task.speaker)]),
            (
                "prompted",
                [prompts[task.voice], Segment(task.text, _UNNAMED)] if task.voice in prompts else None,
            ),
        ):
            if segments:
                clip, wave = _say(miso, vocoder, segments, seed + i, sampling, limit)
                done(Spoken(system, task.text, task.voice, **clip), wave, vocoder.sample_rate)
        if progress:
            progress(i + 1, len(tasks))
    kind, normalise = normaliser()
    spoken.sort(key=lambda c: ("source", "codec", "model", "prompted").index(c.system))
    return {
        "checkpoint": miso.checkpoint.fingerprint,
        "codec": coder.codec,
        "vocoder": vocoder.name,
        "sampling": asdict(sampling),
        "seed": seed,
        "threads": threads,
        "judges": list(ears.judges),
        "normaliser": kind,
        "figures": figures(spoken, normalise),
        "clips": [asdict(c) for c in spoken],
    }


def _say(
    miso: Miso, vocoder: Vocoder, segments: list[Segment], seed: int, sampling: Sampling, limit: float
) -> tuple[dict, Tensor]:
    """Speak as a player would, sound leaving while frames are still made: lengths and times, and samples [N]."""
    begin, first, parts, waiting = time.perf_counter(), None, [], []
    loop = miso.sample(segments, seeds=[seed], max_seconds=limit, sampling=sampling)
    stream = vocoder.stream()

    def decode() -> None:
        parts.append(stream.push(torch.stack(waiting, 2)))
        waiting.clear()

    for frame in loop:
        waiting.append(frame.codes)
        if first is None or len(waiting) == _CHUNK:
            decode()
            first = first or time.perf_counter() - begin
    if waiting:
        decode()
    wave = torch.cat([*parts, stream.flush()], 2)[0, 0] if parts else torch.empty(0)
    cost = time.perf_counter() - begin
    return {
        "seconds": len(wave) / vocoder.sample_rate,
        "stop": loop.codes.takes[0].stop,
        "cost": cost,
        "first": first,
    }, wave


def _tasks(speech: Speech | None, sentences: int, speakers: Sequence[int]) -> list[Task]:
    if speech is None:
        lines = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]
        return [Task(line, speakers[i % len(speakers)], "") for i, line in enumerate(lines[:sentences])]
    clips = [c for c in speech.split("test") if c.voice in speech.voices]
    clips = [c for i in range(len(clips)) for c in _nth(clips, speech.voices, i)]  # the voices in turns
    if not clips:
        raise MisoError(
            f"{speech.folder} has no test clips.",
            "Prepare more speech: two lines in a hundred are kept for tests.",
            input="source",
        )
    return [Task(c.text, speech.voices.index(c.voice), c.voice, c) for c in clips[:sentences]]


def _nth(clips: list[Clip], voices: list[str], i: int) -> list[Clip]:
    return [of[i] for v in voices if i < len(of := [c for c in clips if c.voice == v])]


def _meet_voices(ears: Ears, speech: Speech, codec: Vocoder) -> dict[str, Segment]:
    """Let the ears know each voice from held-out clips, and make a voice prompt of one of them."""
    prompts = {}
    for voice in speech.voices:
        clips = [c for c in speech.split("validation") if c.voice == voice]
        if not clips:
            continue
        ears.learn(voice, (torch.from_numpy(speech.wave(c)) for c in clips[:_REFERENCES]), 24_000)
        clip = min(clips, key=lambda c: abs(c.samples - 4 * 24_000))  # of about four seconds
        codes: Codes = encode_codes(codec, torch.from_numpy(speech.wave(clip))[None, None], text=clip.text)
        prompts[voice] = Segment(clip.text, _UNNAMED, codes, voice=True)
    return prompts
