"""How fast and how large: random weights of any size made on the device itself, so that anyone can measure without a checkpoint."""

from __future__ import annotations

import platform
import statistics
import time

import torch

from .conditioning import Prompt, Segment, frame_rows
from .config import PRESETS
from .depth import DepthSampler
from .devices import Precision
from .errors import MisoError
from .frames import FrameLoop
from .model import Backbone, DepthDecoder
from .weights import build, random_tensors


def bench(size: str, device: torch.device, precision: Precision, *, frames: int = 50, prompt_rows: int = 128, takes: int = 1) -> dict:
    """Milliseconds a frame (median), split into backbone and depth; prefill; build time; memory. For a JSON file.

    The parts are timed one after the other with the device waited for in between, so they add up to a little more than a frame
    of the loop itself takes.
    """
    if size not in PRESETS:
        raise MisoError(f"There is no size '{size}'.", f"Use {', '.join(PRESETS)}.", input="size")
    config, begin = PRESETS[size], time.perf_counter()
    dtype = precision.dtype
    tensor = random_tensors(config, 0, device=device, dtype=dtype)
    backbone, depth = (build(kind, config, "random", tensor, device=device, precision=precision) for kind in (Backbone, DepthDecoder))
    _wait(device)
    build_s = time.perf_counter() - begin
    rows = torch.randint(1, config.codebook_size, (prompt_rows, config.codebooks), generator=torch.Generator().manual_seed(0))
    prompt, sampler = Prompt(*frame_rows(rows, config.codebooks), Segment("")), DepthSampler(depth)
    loop = FrameLoop(backbone, sampler, prompt, seeds=list(range(takes)), max_frames=frames)
    begin, stamps = time.perf_counter(), []
    for _ in loop:
        stamps.append(time.perf_counter())
    # frames arrive late by the loop's lag, evenly: the differences are the frames' own times
    per_frame = [1e3 * (b - a) for a, b in zip(stamps, stamps[1:])]
    hidden = torch.randn(takes, config.backbone.dim, device=device, dtype=dtype)
    code, u = torch.ones(takes, 1, dtype=torch.int64, device=device), torch.rand(takes, config.codebooks, device=device)
    cache, at = backbone.transformer.cache(takes, prompt_rows + frames), torch.tensor([prompt_rows], device=device)

    def feed_back():
        backbone(backbone.embed_frame(code.expand(-1, config.codebooks)), at, cache, window=prompt_rows + 1)

    with torch.inference_mode():
        result = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
            "torch": torch.__version__, "size": size, "precision": "int8" if precision.int8 else str(dtype).removeprefix("torch."), "takes": takes,
            "prompt_rows": prompt_rows, "frames": len(stamps), "frame_ms": statistics.median(per_frame),
            "depth_ms": _median_ms(lambda: sampler(hidden, code, u), device),
            "backbone_ms": _median_ms(feed_back, device),
            "first_frame_ms": 1e3 * (stamps[0] - begin), "build_s": build_s,
        }
    if device.type == "cuda":
        result["device_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return result


def _median_ms(call, device: torch.device, runs: int = 10) -> float:
    times = []
    for _ in range(runs):
        _wait(device)
        begin = time.perf_counter()
        call()
        _wait(device)
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
