"""How well a checkpoint speaks on a CPU: it says held-out sentences, which recognisers and others judge.

With prepared speech as ``source`` the sentences are those of its test split, and four systems say the same in
the same voices: ``source`` (the recording), ``codec`` (the recording encoded and decoded), ``model``, and
``prompted``: the model with an unused speaker number, which knows the voice only from a voice prompt. Without
it the model says the sentences of ``sentences.txt``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from ..model.config import ModelConfig
from ..model.sampling import Sampling
from ..speech import Miso
from ..text.conditioning import Segment
from ..vocoders import Vocoder, load_vocoder
from ..vocoders.encode import encode_codes
from . import judges as judging
from .data import RATE, Clip, Speech
from .figures import Spoken, expected_seconds, figures, normaliser

SENTENCES = Path(__file__).with_name("sentences.txt")
_CHUNK = 6  # frames decoded together after the first
_REFERENCES = 20  # clips from which the embedding of a voice is averaged
_SYSTEMS = ("source", "codec", "model", "prompted")


class Task(NamedTuple):
    """A sentence, its speaker, and the recording of it, if there is one."""

    text: str
    speaker: int
    voice: str
    clip: Clip | None = None


class JudgePanel:
    """The judges named ``names`` (None: all that are installed), and embeddings of known voices.

    Raises MisoError for an unknown judge or a missing package.
    """

    def __init__(self, names: Sequence[str] | None, threads: int, log: Callable[[str], None]):
        names = judging.installed() if names is None else list(names)
        unknown = [name for name in names if name not in judging.JUDGES]
        if unknown:
            raise MisoError(
                f"There is no judge '{unknown[0]}'.",
                f"Use any of: {', '.join(judging.JUDGES)}.",
                input="judges",
            )
        if not names:
            log(f"No judge is installed: only durations and speed are measured. {judging.Whisper.install}")
        self.judges = {name: judging.judge(name, threads) for name in names}
        self.voices: dict[str, np.ndarray] = {}

    def add_voice(self, voice: str, waves: Iterable[Tensor], rate: int) -> None:
        """Store the mean embedding of a voice from some of its clips."""
        if embed := self.judges.get("resemblyzer"):
            mean = np.mean([embed(self._resampled(wave, rate)) for wave in waves], 0)
            self.voices[voice] = mean / np.linalg.norm(mean)

    def judge(self, clip: Spoken, wave: Tensor, rate: int) -> Spoken:
        """Add the judges' results to ``clip``, from its samples [N]."""
        heard = self._resampled(wave, rate)
        if len(heard) < judging.RATE // 10:
            return clip  # no speech: an empty transcript counts as deletions
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
    def _resampled(wave: Tensor, rate: int) -> np.ndarray:
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
    """Figures by system, with all clips they are computed from, as JSON-compatible values.

    Args:
        codec: codec file that encodes ``source`` and voice prompts.
        vocoder: file of what decodes all codes (default: the codec).
        sentences: maximum number of sentences.
        source: folder of prepared speech.
        judges: names of judges (default: all that are installed).
        speakers: speaker numbers for the sentences, in turn; with ``source`` its voices speak.
        keep: folder to write all clips to.

    Raises MisoError if codec or vocoder don't belong to the checkpoint.
    """
    panel = JudgePanel(judges, threads, log)
    torch.set_num_threads(threads)
    miso = Miso(checkpoint, device="cpu")
    encoder, decoder = load_vocoder("mimi", codec), load_vocoder("auto", vocoder or codec)
    for name, part in (("codec", encoder), ("vocoder", decoder)):
        if part.codec != (codec_id := miso.checkpoint.config.codec):
            raise MisoError(
                f"The {name} is for codes of '{part.codec}', the checkpoint samples '{codec_id}'.",
                f"Choose a {name} for the checkpoint's codes.",
                input=name,
            )
    sampling = sampling or miso.sampling
    speech = Speech(source) if source else None
    if speech:
        speech.require_rate(RATE)
    tasks = _tasks(speech, sentences, speakers, miso.checkpoint.config.speakers)
    other = unnamed(miso.checkpoint.config)
    prompts = _voice_prompts(panel, speech, encoder, other) if speech else {}
    spoken: list[Spoken] = []

    def done(clip: Spoken, wave: Tensor, rate: int) -> None:
        spoken.append(panel.judge(clip, wave, rate))
        if keep and wave.numel():
            write_audio(Path(keep) / clip.system / f"{len(spoken):04d}.flac", wave, rate)

    _say(miso, decoder, [Segment("Warm up.", 0)], 0, sampling, 1.0)  # the first call is slower
    for i, task in enumerate(tasks):
        if task.clip and speech:
            wave = torch.from_numpy(speech.wave(task.clip))
            done(Spoken("source", task.text, task.voice, len(wave) / RATE), wave, RATE)
            wave = decoder.decode(encoder.encode(wave[None, None]))[0, 0]
            seconds = len(wave) / decoder.sample_rate
            done(Spoken("codec", task.text, task.voice, seconds), wave, decoder.sample_rate)
        limit = 2.5 * expected_seconds(task.text) + 1
        histories = {"model": [Segment(task.text, task.speaker)]}
        if task.voice in prompts:
            histories["prompted"] = [prompts[task.voice], Segment(task.text, other)]
        for system, segments in histories.items():
            clip, wave = _say(miso, decoder, segments, seed + i, sampling, limit)
            done(Spoken(system, task.text, task.voice, **clip), wave, decoder.sample_rate)
        if progress:
            progress(i + 1, len(tasks))
    kind, normalise = normaliser()
    spoken.sort(key=lambda clip: _SYSTEMS.index(clip.system))
    return {
        "checkpoint": miso.checkpoint.fingerprint,
        "codec": encoder.codec,
        "vocoder": decoder.name,
        "sampling": asdict(sampling),
        "seed": seed,
        "threads": threads,
        "judges": list(panel.judges),
        "normaliser": kind,
        "figures": figures(spoken, normalise),
        "clips": [asdict(c) for c in spoken],
    }


def unnamed(config: ModelConfig) -> int:
    """A speaker number without a voice, as ``Conversations`` gives in training."""
    return len(config.voices) + 2 if config.voices else 9


def _say(
    miso: Miso, vocoder: Vocoder, segments: list[Segment], seed: int, sampling: Sampling, limit: float
) -> tuple[dict, Tensor]:
    """Speak with streaming decoding, as for live playback: fields of ``Spoken``, and samples [N]."""
    begin = time.perf_counter()
    first: float | None = None
    parts: list[Tensor] = []
    waiting: list[Tensor] = []
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


def _tasks(
    speech: Speech | None, sentences: int, speakers: Sequence[int], names: Mapping[str, int]
) -> list[Task]:
    """What is to be said. Voices have the numbers of ``names``; others are numbered in their order."""
    if speech is None:
        lines = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]
        return [Task(line, speakers[i % len(speakers)], "") for i, line in enumerate(lines[:sentences])]
    clips = [c for c in speech.split("test") if c.voice in speech.voices]
    clips = [c for i in range(len(clips)) for c in _nth(clips, speech.voices, i)]  # alternate between voices
    if not clips:
        raise MisoError(
            f"{speech.folder} has no test clips.",
            "Prepare more speech: 2 % of the sentences are test clips.",
            input="source",
        )
    numbers = {voice: names.get(voice.casefold(), i) for i, voice in enumerate(speech.voices)}
    return [Task(c.text, numbers[c.voice], c.voice, c) for c in clips[:sentences]]


def _nth(clips: list[Clip], voices: list[str], i: int) -> list[Clip]:
    """The clip number ``i`` of each voice that has as many."""
    by_voice = [[clip for clip in clips if clip.voice == voice] for voice in voices]
    return [of_voice[i] for of_voice in by_voice if i < len(of_voice)]


def _voice_prompts(panel: JudgePanel, speech: Speech, codec: Vocoder, speaker: int) -> dict[str, Segment]:
    """A voice prompt for each voice from a held-out clip; also adds the voices to the panel."""
    prompts = {}
    for voice in speech.voices:
        clips = [c for c in speech.split("validation") if c.voice == voice]
        if not clips:
            continue
        panel.add_voice(voice, (torch.from_numpy(speech.wave(c)) for c in clips[:_REFERENCES]), RATE)
        clip = min(clips, key=lambda c: abs(c.samples - 4 * RATE))  # about four seconds
        codes: Codes = encode_codes(codec, torch.from_numpy(speech.wave(clip))[None, None], text=clip.text)
        prompts[voice] = Segment(clip.text, speaker, codes, voice=True)
    return prompts
