"""Speed and memory of a model of any size. Weights are random, so that no checkpoint is needed."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints.build import build, random_tensors
from ..checkpoints.devices import Precision
from ..errors import MisoError
from ..generation.alignment import place_symbols
from ..generation.depth import DepthSampler
from ..generation.frame import PlainFrame
from ..generation.loop import FrameLoop
from ..generation.paths import PersistentPath, borrow_frame, pick_path
from ..generation.persistent.limits import GpuLimits, limited_to
from ..generation.trial import compare
from ..model.config import PRESETS
from ..model.networks import Backbone, DepthDecoder
from ..model.sampling import Sampling, draw
from ..text.conditioning import Prompt, Segment, frame_rows
from ..vocoders.backends.mimi import MimiVocoder
from ..vocoders.mimi import MimiConfig, random_mimi
from .exactness import exactness

_PREFILLS = 128, 1500  # rows
_LINE = 32  # rows of a line after a history
_ALIGNED = 40, 125  # ids of a text, and frames that say it: 10 s


def bench(
    size: str,
    device: torch.device,
    precision: Precision,
    *,
    frames: int = 50,
    prompt_rows: int = 128,
    takes: Sequence[int] = (1,),
    paths: Sequence[str] = ("auto",),
    profiles: Sequence[GpuLimits | None] = (None,),
    exact: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure a model size in a precision; returns figures for a JSON file, times in ms as medians.

    - ``runs`` has one entry per path, number of takes and profile. A profile limits the multiprocessors and
      the shared memory of the persistent kernel to a smaller GPU's; None is the real GPU. For that kernel
      ``hidden_error`` and ``distance`` are its differences from the plain path (see ``trial.compare``).
    - ``floor_ms`` is the time to read the weights that a frame needs, at the measured bandwidth;
      ``over_floor`` is the time of a frame as a multiple of it.
    - ``warm_up_s`` is how long the first frame takes in a new process, apart from loading weights: compiling,
      loading kernels, recording.
    - ``align_ms``: finding the words of a take of 10 s.
    - ``first_sound_after_history_ms``: with 1500 rows, of which all but the line's 32 are a history that an
      earlier run has computed.
    - With ``exact`` the errors of ``exactness`` are included, on the last of the paths.

    ``report`` is called with a line about each step. Raises MisoError for an unknown size.
    """
    if size not in PRESETS:
        raise MisoError(f"There is no size '{size}'.", f"Use {', '.join(PRESETS)}.", input="size")
    if frames < 2:
        raise MisoError(f"frames is {frames}.", "Use 2 or more.", input="frames")
    config = PRESETS[size]
    errors = {}
    if exact:
        report("errors")
        errors = exactness(config, device, precision, paths[-1])
        _empty_cache(device)
    start = time.perf_counter()
    tensor = random_tensors(config, 0, device=device, dtype=precision.dtype)
    backbone = build(Backbone, config, "random", tensor, device=device, precision=precision)
    decoder = build(DepthDecoder, config, "random", tensor, device=device, precision=precision)
    wait(device)
    build_seconds = time.perf_counter() - start
    model = _Model(device, backbone, DepthSampler(decoder))
    frame_gb, gb_per_second = _bytes_read(backbone, decoder) / 1e9, bandwidth(device) / 1e9
    floor_ms = 1e3 * frame_gb / gb_per_second
    result: dict[str, Any] = {
        "device": _device_name(device),
        "torch": torch.__version__,
        "size": size,
        "precision": str(precision),
        "prompt_rows": prompt_rows,
        "build_s": build_seconds,
        "bandwidth_gb_s": gb_per_second,
        "gb_a_frame": frame_gb,
        "floor_ms": floor_ms,
        **{f"{name}_error": error for name, error in errors.items()},
    }
    runs = []
    for profile, name, number in product(profiles, paths, takes):
        with limited_to(profile):
            path = pick_path(name, backbone, model.depth, number).path
            shown = "" if profile is None else f"{profile.multiprocessors},{profile.shared_bytes // 1024}"
            report(f"{path}, {number} takes {shown}")
            backbone.kept_frame = None  # recorded under other limits
            run: dict[str, Any] = {"path": path, "takes": number}
            if profile is not None:
                run["profile"] = shown
            run |= model.run(path, number, prompt_rows, frames)
            if path == PersistentPath.name:
                agreement = compare(backbone, model.depth, number)
                run |= {"hidden_error": agreement.hidden_error, "distance": agreement.distance}
            runs.append({**run, "over_floor": run["frame_ms"] / floor_ms})
    backbone.kept_frame = None
    result["runs"] = runs
    report("prefill")
    path = pick_path(paths[-1], backbone, model.depth, 1).path
    result["prefill_ms"] = {
        rows: model.prefill(path, rows) for rows in _PREFILLS if rows + 4 < config.positions
    }
    result["first_sound_ms"] = model.first_sound(path, prompt_rows)
    report("alignment")
    result["align_ms"] = model.align(*_ALIGNED)
    if (rows := _PREFILLS[-1]) + 50 <= config.positions:
        result["first_sound_after_history_ms"] = model.first_sound(path, rows, line=_LINE)
    if device.type == "cuda":
        backbone.kept_frame = None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        model.prefill(path, config.positions - frames, runs=1)  # fill all positions of the model
        model.first_sound(path, prompt_rows, runs=1)
        result["device_memory_gb"] = torch.cuda.max_memory_reserved(device) / 1e9
    return result


class _Model:
    """A model on a device, and ways to time it."""

    def __init__(self, device: torch.device, backbone: Backbone, depth: DepthSampler):
        self.device, self.backbone, self.depth, self.config = device, backbone, depth, backbone.config

    def loop(self, path: str, takes: int, rows: int, frames: int, line: int = 0) -> FrameLoop:
        """A frame loop on a prompt of ``rows`` random frames; with ``line`` all but so many are history."""
        shape, generator = (rows, self.config.codebooks), torch.Generator().manual_seed(0)
        codes = torch.randint(1, self.config.codebook_size, shape, generator=generator)
        history = (rows - line,) if line else ()
        prompt = Prompt(*frame_rows(codes, self.config.codebooks), Segment(""), history=history)
        return FrameLoop(
            self.backbone, self.depth, prompt, seeds=list(range(takes)), max_frames=frames, path=path
        )

    def run(self, path: str, takes: int, rows: int, frames: int) -> dict[str, float]:
        """Times of a run: the warm-up, the frames, and the parts of a frame."""
        start = time.perf_counter()
        with closing(self.loop(path, takes, rows, frames)) as loop:
            next(loop)
        warm_up = time.perf_counter() - start
        times = [time.perf_counter() for _ in self.loop(path, takes, rows, frames)]
        # the loop yields frames late, and the last ones at once: leave these out
        gaps = [1e3 * (after - before) for before, after in zip(times, times[1:])]
        gaps = gaps[:-2] or gaps
        return {
            "warm_up_s": warm_up,
            "frames": len(times),
            "frame_ms": statistics.median(gaps),
            "slowest_ms": max(gaps),
            **self.parts(path, takes, rows, frames),
        }

    def parts(self, path: str, takes: int, rows: int, frames: int) -> dict[str, float]:
        """Times of the parts of a frame, each alone. ``sampling_ms`` is also included in the other parts."""
        with (
            borrow_frame(path, self.backbone, self.depth, Sampling(), takes, rows + frames, frames) as frame,
            torch.inference_mode(),
        ):
            step = frame if isinstance(frame, PlainFrame) else frame.step
            step.state.position.fill_(rows)
            step.state.counter.zero_()
            logits = torch.randn(takes, self.config.audio_vocab, device=self.device)
            u = torch.rand(takes, device=self.device)

            def sample() -> None:
                for _ in range(self.config.codebooks):
                    draw(logits, u, Sampling(), self.config.codebook_size)

            parts = step.parts()
            parts.setdefault("sampling", sample)
            return {
                f"{name}_ms": _median_ms(call if path == "plain" else _recorded(call), self.device)
                for name, call in parts.items()
            }

    def prefill(self, path: str, rows: int, runs: int = 5) -> float:
        """Time until the first frame can be drawn."""
        positions, times = self.config.positions, []
        for loop in [self.loop(path, 1, rows, positions - rows) for _ in range(runs)]:
            sampling = loop.sampling
            with borrow_frame(path, self.backbone, self.depth, sampling, 1, positions, positions) as frame:
                times.append(_ms(lambda: loop.prefill(frame.state), self.device))  # noqa: B023
        return statistics.median(times)

    def align(self, ids: int, frames: int, runs: int = 5) -> float:
        """Time to find where each of ``ids`` of a text lies in the frames that say it."""
        generator = torch.Generator().manual_seed(0)
        text = torch.zeros(ids, self.config.codebooks + 1, dtype=torch.int64)
        text[:, -1] = torch.randint(self.config.text_vocab, (ids,), generator=generator)
        codes = torch.randint(self.config.codebook_size, (frames, self.config.codebooks), generator=generator)

        def align() -> None:
            place_symbols(self.backbone, text, text > 0, codes, torch.arange(ids - 1))

        return _median_ms(align, self.device, runs)

    def first_sound(self, path: str, rows: int, runs: int = 5, line: int = 0) -> float:
        """Time from a prompt to the waveform of the first frame on the host.

        The vocoder is a full-size Mimi with random weights, decoding a stream.
        """
        codec = MimiConfig(codebooks=self.config.codebooks)
        vocoder = MimiVocoder(random_mimi(codec, 0, self.config.codec).to(self.device))

        def decode_first() -> None:
            stream = vocoder.stream()
            with closing(self.loop(path, 1, rows, 50, line)) as loop:
                stream.push(next(loop).codes[..., None])

        decode_first()
        return statistics.median(_ms(decode_first, self.device) for _ in range(runs))


def bandwidth(device: torch.device) -> float:
    """Memory bandwidth for reading in bytes per second, measured by summing a large vector; best of 10."""
    vector = torch.ones((2**30 if device.type == "cuda" else 2**26), dtype=torch.float32, device=device)
    measured = vector.nbytes / min(1e-3 * _ms(vector.sum, device) for _ in range(10))
    del vector
    _empty_cache(device)
    return measured


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _empty_cache(device: torch.device) -> None:
    """Free cached blocks so that they don't count towards the peak, nor fragment what is allocated next."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _bytes_read(backbone: Backbone, decoder: DepthDecoder) -> int:
    """Bytes of weights that a frame reads, for any number of takes: the depth decoder's once per codebook."""
    once = (backbone.transformer, backbone.codebook0_head, decoder.projection)
    steps = decoder.config.codebooks - 1
    return sum(map(_size, once)) + steps * _size(decoder.transformer) + decoder.audio_head.nbytes


def _size(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def _recorded(call: Callable) -> Callable[[], None]:
    """The call as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    call()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _median_ms(call: Callable, device: torch.device, runs: int = 11) -> float:
    return statistics.median(_ms(call, device) for _ in range(runs))


def _ms(call: Callable[[], Tensor | None], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return 1e3 * (time.perf_counter() - start)


def wait(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
