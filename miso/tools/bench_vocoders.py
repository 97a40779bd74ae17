"""Speed, memory and agreement of every vocoder backend that is at hand, on random weights.

The weights are a Mimi of the published layout, so that no checkpoint is needed, and the same for all: what
differs from our own Mimi is the backend. Each is measured in a process of its own.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import MisoError
from ..vocoders import Stream, Vocoder, load_vocoder
from ..vocoders.lfm2 import Detokenizer, DetokenizerConfig, save_detokenizer
from ..vocoders.mimi import MimiConfig, load_mimi, random_mimi, save_mimi
from ..vocoders.source_filter import SourceFilter, save_source_filter
from .bench import wait

_CODEC = "mimi-random"
_RUNS = 3  # whole decodes, of which the median counts
_SETTLED = 125  # frames that fill Mimi's window; the frames of a stream that are timed come after them


class Variant(NamedTuple):
    """A backend, its file and a precision."""

    backend: str
    file: str
    precision: str = "fp32"

    @property
    def name(self) -> str:
        return self.backend if self.precision == "fp32" else f"{self.backend} {self.precision}"


def variants(device: torch.device) -> list[Variant]:
    """What can be measured: our own, and others whose packages are installed."""
    mimi = [name for name in ("mimi", "moshi", "transformers") if name == "mimi" or find_spec(name)]
    result = [Variant(name, "mimi.safetensors") for name in mimi]
    if device.type == "cuda":
        result += [Variant(name, "mimi.safetensors", half) for name in mimi for half in ("fp16", "bf16")]
    if find_spec("onnxruntime") and find_spec("onnx"):
        result += [Variant("onnx", f"mimi-{precision}.onnx", precision) for precision in ("fp32", "int8")]
    result.append(Variant("source-filter", "source-filter.safetensors"))
    return [*result, Variant("lfm2", "lfm2.safetensors")]


def bench_vocoders(
    device: torch.device,
    *,
    seconds: float = 16.0,
    config: MimiConfig | None = None,
    backends: Collection[str] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Figures of each variant, for a table or a JSON file.

    ``config``: sizes of the codec (default: those of the published one). ``backends``: some of them (default:
    all at hand).

    - ``open_s``: opening the file, its packages' imports included.
    - ``first_sound_ms``: one frame through a new stream in a new process, with all that is done only once.
    - ``frame_ms``: one frame of a stream; None if the backend can't stream.
    - ``whole``: seconds of computing a second of sound, decoded at once.
    - ``memory_mb``: the most memory beyond that of PyTorch and Miso; on CUDA, that of the GPU.
    - ``whole_db``, ``stream_db``: SNR against our own Mimi, decoded whole in fp32 on the CPU; infinite where
      every sample is the same, None for a vocoder that isn't the codec's own decoder.

    All on the threads that PyTorch has now. ``report`` is called with a line about each step. A backend that
    can't run has an ``error``, and no figures.
    """
    with tempfile.TemporaryDirectory() as folder:
        report("making files")
        chosen = [v for v in variants(device) if backends is None or v.backend in backends]
        codes, expected = _make_files(Path(folder), chosen, config, seconds)
        results = []
        for variant in chosen:
            report(variant.name)
            job = (variant, Path(folder), str(device), codes, expected, torch.get_num_threads())
            # spawned, so that packages and peaks of memory are its own
            with get_context("spawn").Pool(1) as pool:
                results.append(pool.apply(_measure, job))
        return results


def table(results: Sequence[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    columns = {
        "whole": ("whole, s a second", "{:.3f}"),
        "frame_ms": ("stream, ms a frame", "{:.1f}"),
        "first_sound_ms": ("first sound, ms", "{:.0f}"),
        "open_s": ("open, s", "{:.1f}"),
        "memory_mb": ("memory, MB", "{:.0f}"),
        "whole_db": ("whole, dB", "{:.0f}"),
        "stream_db": ("stream, dB", "{:.0f}"),
    }
    lines = ["| " + " | ".join(["backend", *(title for title, _ in columns.values())]) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for result in results:
        cells = [
            "-" if result.get(name) is None else form.format(result[name])
            for name, (_, form) in columns.items()
        ]
        lines.append("| " + " | ".join([result["name"], *cells]) + " |")
    return "\n".join([*lines, *(f"{r['name']}: {r['error']}" for r in results if "error" in r)])


def _make_files(
    folder: Path, chosen: Sequence[Variant], config: MimiConfig | None, seconds: float
) -> tuple[Tensor, Tensor]:
    """Write the files of all variants; returns codes [1, K, T] and what our own Mimi makes of them."""
    from .export import export_codec

    mimi = random_mimi(config, codec=_CODEC)
    save_mimi(folder / "mimi.safetensors", mimi)
    torch.manual_seed(0)
    save_source_filter(folder / "source-filter.safetensors", SourceFilter(mimi.config, codec_id=_CODEC))
    for variant in chosen:
        if variant.backend == "onnx":
            export_codec(folder / "mimi.safetensors", folder / variant.file, variant.precision)
        elif variant.backend == "lfm2":
            save_detokenizer(folder / variant.file, Detokenizer(DetokenizerConfig()))
    shape = (1, mimi.config.codebooks, max(round(seconds * mimi.config.frame_rate), 8))
    codes = torch.randint(0, mimi.config.codebook_size, shape, generator=torch.Generator().manual_seed(0))
    return codes, load_mimi(folder / "mimi.safetensors").decode(codes)


def _measure(
    variant: Variant, folder: Path, device_name: str, codes: Tensor, expected: Tensor, threads: int
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    result: dict[str, Any] = {"name": variant.name}
    device, before = torch.device(device_name), _memory("VmRSS")
    if device.type == "cuda":
        torch.zeros(1, device=device)  # start CUDA
    try:
        start = time.perf_counter()
        vocoder = load_vocoder(variant.backend, folder / variant.file, device, _DTYPES.get(variant.precision))
        result["open_s"] = time.perf_counter() - start
        result |= _stream(vocoder, codes, expected, device)
        times = []
        for _ in range(_RUNS):
            start = time.perf_counter()
            sound = vocoder.decode(codes)
            times.append(time.perf_counter() - start)
        result["whole"] = statistics.median(times) / (sound.shape[-1] / vocoder.sample_rate)
        result["whole_db"] = _snr(vocoder, sound, expected)
    except MisoError as e:
        return {"name": variant.name, "error": str(e)}
    if device.type == "cuda" and variant.backend != "onnx":
        result["memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    else:
        peak = _memory("VmHWM")
        result["memory_mb"] = peak - before if peak and before else None
    return result


def _stream(vocoder: Vocoder, codes: Tensor, expected: Tensor, device: torch.device) -> dict[str, Any]:
    stream: Stream | None = None
    with suppress(MisoError):
        stream = vocoder.stream()
    if stream is None:
        return {}
    times, parts = [], []
    for frame in codes.split(1, -1):
        start = time.perf_counter()
        parts.append(stream.push(frame))
        wait(device)
        times.append(1e3 * (time.perf_counter() - start))
    sound = torch.cat([*parts, stream.flush()], -1)
    settled = times[min(_SETTLED, len(times) // 2) :]
    return {
        "first_sound_ms": times[0],
        "frame_ms": statistics.median(settled),
        "stream_db": _snr(vocoder, sound, expected),
    }


def _snr(vocoder: Vocoder, sound: Tensor, expected: Tensor) -> float | None:
    if vocoder.name in ("source-filter", "lfm2"):  # other decoders, which give another sound
        return None
    noise = (sound - expected).square().mean()
    return 10 * torch.log10(expected.square().mean() / noise).item()


_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def _memory(name: str) -> float | None:
    """A figure of this process's memory in MB, where the system tells."""
    if not sys.platform.startswith("linux"):
        return None
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) * 1.024e-3 for line in lines if line.startswith(f"{name}:"))
