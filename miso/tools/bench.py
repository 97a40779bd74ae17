"""How fast and how large: random weights of any size made on the device itself, so that anyone can measure without a checkpoint."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import torch
from torch import Tensor, nn

from ..checkpoints.build import build, random_tensors
from ..checkpoints.devices import Precision
from ..errors import MisoError
from ..generation.depth import DepthSampler
from ..generation.frame import PlainFrame
from ..generation.loop import FrameLoop
from ..generation.paths import borrow_frame, pick_path
from ..model.config import PRESETS, ModelConfig
from ..model.networks import Backbone, DepthDecoder
from ..model.sampling import Sampling, draw
from ..text.conditioning import Prompt, Segment, frame_rows
from ..vocoders.backends.mimi import MimiVocoder
from ..vocoders.mimi import MimiConfig, random_mimi
from .exactness import exactness

_PREFILLS = 128, 1500  # rows


def bench(
    size: str,
    device: torch.device,
    precision: Precision,
    *,
    frames: int = 50,
    prompt_rows: int = 128,
    takes: Sequence[int] = (1,),
    paths: Sequence[str] = ("auto",),
    exact: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict:
    """Figures of one size and precision, for a JSON file; times in ms are medians. ``runs`` has one entry for each path and number of takes.

    ``floor_ms`` is the time that reading the weights a frame needs takes at the bandwidth measured here, ``over_floor`` what a frame
    takes in units of it. ``warm_up_s`` is what the first frame of a new process waits for beside its weights: compiling, loading, recording.
    ``exact``: also the errors of ``exactness``, on the last of the paths.
    """
    if size not in PRESETS:
        raise MisoError(f"There is no size '{size}'.", f"Use {', '.join(PRESETS)}.", input="size")
    config, errors = PRESETS[size], {}
    if exact:
        say("errors")
        errors = {
            f"{name}_error": error for name, error in exactness(config, device, precision, paths[-1]).items()
        }
        _empty_cache(device)
    begin = time.perf_counter()
    tensor = random_tensors(config, 0, device=device, dtype=precision.dtype)
    backbone, decoder = (
        build(kind, config, "random", tensor, device=device, precision=precision)
        for kind in (Backbone, DepthDecoder)
    )
    wait(device)
    machine = _Machine(device, backbone, DepthSampler(decoder), config)
    result = {
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "size": size,
        "precision": str(precision),
        "prompt_rows": prompt_rows,
        "build_s": time.perf_counter() - begin,
        "bandwidth_gb_s": bandwidth(device) / 1e9,
        "gb_a_frame": _bytes_read(backbone, decoder) / 1e9,
    }
    result["floor_ms"] = 1e3 * result["gb_a_frame"] / result["bandwidth_gb_s"]
    result |= errors
    result["runs"] = []
    for name in paths:
        for n in takes:
            path = pick_path(name, backbone, machine.depth, n)
            say(f"{path}, {n} takes")
            run = {"path": path, "takes": n, **machine.run(path, n, prompt_rows, frames)}
            result["runs"].append(run | {"over_floor": run["frame_ms"] / result["floor_ms"]})
    say("prefill")
    path = pick_path(paths[-1], backbone, machine.depth, 1)
    result["prefill_ms"] = {
        rows: machine.prefill(path, rows) for rows in _PREFILLS if rows + 4 < config.positions
    }
    result["first_sound_ms"] = machine.first_sound(path, prompt_rows)
    if device.type == "cuda":
        backbone.kept_frame = None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        machine.prefill(path, config.positions - frames, runs=1)  # all of the model's positions
        machine.first_sound(path, prompt_rows, runs=1)
        result["device_memory_gb"] = torch.cuda.max_memory_reserved(device) / 1e9
    return result


class _Machine:
    """A model on a device, and ways to run it."""

    def __init__(self, device: torch.device, backbone: Backbone, depth: DepthSampler, config: ModelConfig):
        self.device, self.backbone, self.depth, self.config = device, backbone, depth, config

    def loop(self, path: str, takes: int, rows: int, frames: int) -> FrameLoop:
        codes = torch.randint(
            1,
            self.config.codebook_size,
            (rows, self.config.codebooks),
            generator=torch.Generator().manual_seed(0),
        )
        prompt = Prompt(*frame_rows(codes, self.config.codebooks), Segment(""))
        return FrameLoop(
            self.backbone, self.depth, prompt, seeds=list(range(takes)), max_frames=frames, path=path
        )

    def run(self, path: str, takes: int, rows: int, frames: int) -> dict[str, float]:
        begin = time.perf_counter()
        with closing(self.loop(path, takes, rows, frames)) as loop:
            next(loop)
        figures, stamps = {"warm_up_s": time.perf_counter() - begin}, []
        for _ in self.loop(path, takes, rows, frames):
            stamps.append(time.perf_counter())
        # frames arrive late by the loop's lag, the last ones at once; in between the differences are the frames' own times
        gaps = [1e3 * (b - a) for a, b in zip(stamps, stamps[1:])][: -2 or None]
        return (
            figures
            | {"frames": len(stamps), "frame_ms": statistics.median(gaps), "slowest_ms": max(gaps)}
            | self.parts(path, takes, rows, frames)
        )

    def parts(self, path: str, takes: int, rows: int, frames: int) -> dict[str, float]:
        """Each part of a frame alone; drawing is also within depth and backbone, where it is shown a second time."""
        with (
            borrow_frame(path, self.backbone, self.depth, Sampling(), takes, rows + frames, frames) as frame,
            torch.inference_mode(),
        ):
            step = frame if isinstance(frame, PlainFrame) else frame.step
            step.state.position.fill_(rows)
            step.state.counter.zero_()
            parts = step.parts()
            logits, u = (
                torch.randn(takes, self.config.audio_vocab, device=self.device),
                torch.rand(takes, device=self.device),
            )
            parts.setdefault(
                "sampling",
                lambda: [
                    draw(logits, u, Sampling(), self.config.codebook_size)
                    for _ in range(self.config.codebooks)
                ],
            )
            return {
                f"{name}_ms": _median_ms(call if path == "plain" else _recorded(call), self.device)
                for name, call in parts.items()
            }

    def prefill(self, path: str, rows: int, runs: int = 5) -> float:
        """Until the first frame can be drawn."""
        loops = [self.loop(path, 1, rows, self.config.positions - rows) for _ in range(runs)]
        times = []
        for loop in loops:
            with borrow_frame(
                path,
                self.backbone,
                self.depth,
                loop.sampling,
                1,
                self.config.positions,
                self.config.positions,
            ) as frame:
                times.append(_ms(lambda: loop.prefill(frame.state), self.device))  # noqa: B023
        return statistics.median(times)

    def first_sound(self, path: str, rows: int, runs: int = 5) -> float:
        """From a prompt to the first frame's waveform on the host, out of a stream of a Mimi of the true size with random weights."""
        codec = MimiConfig(codebooks=self.config.codebooks)
        vocoder = MimiVocoder(random_mimi(codec, 0, self.config.codec).to(self.device))

        def first() -> None:
            stream = vocoder.stream()
            with closing(self.loop(path, 1, rows, 50)) as loop:
                stream.push(next(loop).codes[..., None])

        first()
        return statistics.median(_ms(first, self.device) for _ in range(runs))


def bandwidth(device: torch.device) -> float:
    """Bytes a second at which the device reads its memory: the sum of a large vector, best of several."""
    vector = torch.ones((2**30 if device.type == "cuda" else 2**26), dtype=torch.float32, device=device)
    measured = vector.nbytes / min(1e-3 * _ms(vector.sum, device) for _ in range(10))
    del vector
    _empty_cache(device)
    return measured


def _empty_cache(device: torch.device) -> None:
    """Else what comes next lies among what was, and all of that counts as the model's."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _bytes_read(backbone: Backbone, decoder: DepthDecoder) -> int:
    """Of weights, in one frame of any number of takes: the depth decoder's once for each codebook it draws."""
    steps = decoder.config.codebooks - 1
    return (
        _size(backbone.transformer)
        + _size(backbone.codebook0_head)
        + _size(decoder.projection)
        + steps * _size(decoder.transformer)
        + decoder.audio_head.nbytes
    )


def _size(module: nn.Module) -> int:
    return sum(t.nbytes for name, t in module.state_dict().items())


def _recorded(call: Callable) -> Callable[[], None]:
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
    begin = time.perf_counter()
    call()
    wait(device)
    return 1e3 * (time.perf_counter() - begin)


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
