"""Commands for measurement: evaluate, bench, parity."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...checkpoints.checkpoint import Checkpoint
from ...checkpoints.devices import pick_device, pick_precision
from ...checkpoints.find import find_checkpoint, find_codec, find_vocoder, models_folder
from ...errors import MisoError
from ...files import replacing
from ...generation.persistent.limits import GpuLimits
from ...model.sampling import Sampling
from .loading import check_place
from .progress import ProgressLine


def evaluate(args: Namespace) -> None:
    from ...training.evaluate import evaluate as measure
    from ...training.figures import table

    check_place(args.json)
    models = Path(args.models or models_folder())
    path = find_checkpoint(args.checkpoint, models)
    checkpoint = Checkpoint(path)
    config = checkpoint.config
    options = {"temperature": args.temperature, "top_k": args.top_k}
    with ProgressLine("evaluating", args.sentences) as progress:
        result = measure(
            path,
            args.codec or find_codec(config.codec, checkpoint.folder, models),
            vocoder=args.vocoder or args.codec or find_vocoder(config.codec, checkpoint.folder, models),
            sentences=args.sentences,
            source=args.source,
            judges=args.judges,
            speakers=args.speakers,
            sampling=replace(
                Sampling(config.temperature, config.top_k),
                **{name: value for name, value in options.items() if value is not None},
            ),
            seed=args.seed,
            threads=args.threads,
            keep=args.keep,
            progress=progress,
        )
    print(table(result["figures"]))
    if args.json:
        _write_text(args.json, json.dumps(result, indent=1) + "\n")


def bench(args: Namespace) -> None:
    from ...tools.bench import bench as measure
    from ...tools.chart import chart

    check_place(args.json)
    check_place(args.picture)
    device = pick_device(args.device)
    if args.vocoders:
        _bench_vocoders(args, device)
        return
    result = measure(
        args.size,
        device,
        pick_precision(args.precision, device),
        frames=args.frames,
        prompt_rows=args.prompt_rows,
        takes=args.takes,
        paths=args.paths,
        profiles=[_profile(text) for text in args.profile],
        exact=args.exact,
        report=lambda line: print(line, file=sys.stderr),
    )
    for name, value in result.items():
        if name != "runs":
            print(f"{name:<18} {_figure(value)}")
    for run in result["runs"]:
        print("  ".join(f"{name} {_figure(value)}" for name, value in run.items()))
    if args.json:
        _write_text(args.json, json.dumps(result, indent=2) + "\n")
    if args.picture:
        _write_text(args.picture, chart(result))


def _bench_vocoders(args: Namespace, device: torch.device) -> None:
    from ...tools.bench_vocoders import bench_vocoders, table

    results = bench_vocoders(device, report=lambda line: print(line, file=sys.stderr))
    print(table(results))
    if args.json:
        _write_text(args.json, json.dumps(results, indent=2) + "\n")


def _profile(text: str) -> GpuLimits | None:
    """Limits from ``--profile``; None for the real GPU."""
    if text == "full":
        return None
    try:
        multiprocessors, kilobytes = map(int, text.split(","))
    except ValueError:
        remedy = "Write the number of multiprocessors and the KB of shared memory, as in 28,99; or full."
        raise MisoError(f"'{text}' is not a profile.", remedy, input="profile") from None
    return GpuLimits(multiprocessors, 1024 * kilobytes)


def parity(args: Namespace) -> int:
    from ...tools.parity import parity as compare

    # the reference was computed on a CPU in fp32
    device = pick_device("cpu" if args.device == "auto" else args.device)
    precision = pick_precision("fp32" if args.precision == "auto" else args.precision, device)
    result = compare(args.model, args.expected, str(device), precision)
    for name, difference in result.differences.items():
        print(f"{name:<18} greatest difference {difference:.2e}")
    print(f"{'greedy codes':<18} {result.codes - result.wrong_codes} of {result.codes} the same")
    holds = result.within(args.tolerance)
    print("parity holds" if holds else f"NO parity (tolerance {args.tolerance:g})")
    return 0 if holds else 1


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


def _write_text(path: str, text: str) -> None:
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")
