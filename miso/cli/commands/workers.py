"""Who says the lines of a batch: this process, or workers of Ray on several GPUs or machines."""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from ...checkpoints.devices import pick_device
from ...codes.codes import Codes
from ...errors import MisoError, counted, missing_package
from ...generation.batch import BatchLoop, Line
from ...generation.depth import DepthSampler
from ...model.sampling import Sampling
from ...progress import Progress
from ...speech import Miso
from ...text.conditioning import Segment
from ...text.length import expected_seconds
from ...text.pronunciations import Pronunciations
from ...vocoders import decode_codes, load_vocoder

_MOST_DEATHS = 3  # of workers one after another, with no line said


@dataclass(frozen=True)
class Setup:
    """What a worker loads, and how it says lines. Files are at the same places on every machine."""

    checkpoint: str
    vocoder: str
    backend: str
    device: str
    precision: str
    tokenizer: str
    sampling: Sampling
    codebooks: int | None
    slots: int
    path: str
    pronunciations: Pronunciations = field(default_factory=Pronunciations)
    loras: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Job:
    """A line to be said by a worker; with codes, it is only decoded."""

    number: int
    segments: tuple[Segment, ...]
    seed: int
    max_frames: int
    rows: int
    codes: Codes | None = None


class Result(NamedTuple):
    number: int
    codes: Codes
    waveform: Tensor  # [N], empty if nothing was said
    sample_rate: int


class Worker:
    """A checkpoint and a vocoder, each loaded when it is first needed."""

    def __init__(self, setup: Setup, miso: Miso | None = None):
        self._setup, self._miso = setup, miso
        self._vocoder: Any = None

    def say(self, jobs: Sequence[Job], progress: Progress | None = None) -> Iterator[Result]:
        """Say and decode lines, in the order in which they end. ``progress`` counts frames, about."""
        for job in jobs:
            if job.codes is not None:
                yield self._decode(job.number, job.codes)
        new = [job for job in jobs if job.codes is None]
        if not new:
            return
        setup, miso = self._setup, self._load()
        lines = [
            Line(miso.text.conditioning(job.segments), job.seed, job.max_frames, job.rows) for job in new
        ]
        loop = BatchLoop(
            miso.backbone,
            DepthSampler(miso.depth, setup.sampling, setup.codebooks),
            lines,
            slots=setup.slots,
            sampling=setup.sampling,
            path=setup.path,
        )
        for ended in loop:
            if progress:
                progress(*loop.progress)
            for i, codes in ended:
                yield self._decode(new[i].number, codes)

    def _load(self) -> Miso:
        if self._miso is None:
            setup = self._setup
            self._miso = Miso(
                setup.checkpoint,
                device=setup.device,
                precision=setup.precision,
                tokenizers=[setup.tokenizer],
                pronunciations=setup.pronunciations,
                loras=setup.loras,
            )
        return self._miso

    def _decode(self, number: int, codes: Codes) -> Result:
        if self._vocoder is None:
            setup = self._setup
            self._vocoder = load_vocoder(setup.backend, setup.vocoder, device=pick_device(setup.device))
        if not codes.frames:
            return Result(number, codes, codes.tensor.new_zeros(0).float(), self._vocoder.sample_rate)
        wave, (samples,) = decode_codes(self._vocoder, codes)
        return Result(number, codes, wave[0, 0, :samples], self._vocoder.sample_rate)


def say_on_ray(
    setup: Setup, jobs: Sequence[Job], workers: int | None = None, address: str = "local"
) -> Iterator[Result]:
    """The same by workers of Ray, each with a GPU, or with one CPU core where there is none.

    ``workers`` is their number (default: one for every GPU, or core). The lines of a worker that dies are
    done by others. Raises MisoError if Ray is missing, or workers die again and again.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unasked
    try:
        import ray
    except ImportError:
        raise missing_package("ray", "Sharing lines among workers") from None
    local = address == "local"
    # no dashboard: it is a web server that nobody asked for
    here: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if local else {}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
    try:
        resources = ray.cluster_resources()
        gpu = setup.device != "cpu" and resources.get("GPU", 0) >= 1
        there = int(resources["GPU" if gpu else "CPU"])
        number = max(1, min(workers or there, there, len(jobs)))
        print(f"{counted(number, 'worker')} with one {'GPU' if gpu else 'CPU core'} each", file=sys.stderr)
        actor = ray.remote(Worker).options(num_cpus=0 if gpu else 1, num_gpus=1 if gpu else 0)
        yield from _share(ray, lambda: actor.remote(setup), jobs, number, setup.slots)
    finally:
        ray.shutdown()


def _share(ray: Any, start: Any, jobs: Sequence[Job], workers: int, slots: int) -> Iterator[Result]:
    """Hand out lines in portions that shrink towards the end, so that all workers end at about the same
    time."""
    waiting = deque(sorted(jobs, key=lambda job: -expected_seconds(job.segments[-1].text)))
    idle: list[Any] = []
    running: dict[Any, tuple[Any, dict[int, Job]]] = {}  # streams of results: worker, and its lines left
    deaths = 0
    while waiting or running:
        while waiting and len(running) < workers:
            worker = idle.pop() if idle else start()
            count = max(slots, len(waiting) // (2 * workers))
            portion = [waiting.popleft() for _ in range(min(count, len(waiting)))]
            stream = worker.say.options(num_returns="streaming").remote(portion)
            running[stream] = worker, {job.number: job for job in portion}
        (stream, *_), _ = ray.wait(list(running), num_returns=1)
        worker, left = running[stream]
        try:
            result = ray.get(next(stream))
        except StopIteration:
            del running[stream]
            idle.append(worker)
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as e:
            del running[stream]
            deaths += 1
            print(f"a worker died: {len(left)} of its lines go to others", file=sys.stderr)
            if deaths > _MOST_DEATHS:
                raise MisoError(
                    "Workers die again and again.",
                    f"Run the same command with fewer slots. Ray says: {str(e).splitlines()[0]}",
                ) from e
            waiting.extendleft(left.values())
        else:
            deaths = 0
            del left[result.number]
            yield result
