"""Commands about files and machines: fetch, info, parity, bench."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..checkpoints.devices import pick_device, pick_precision
from ..checkpoints.find import models_folder
from ..files import replacing
from .progress import ProgressLine


def fetch(args) -> None:
    from ..checkpoints.fetch import fetch_file

    print(fetch_file(args.name, args.models or models_folder()))


def info(args) -> None:
    from ..tools.info import info as about

    print(about(args.file))


def convert(args) -> None:
    from ..checkpoints.convert import convert_checkpoint as write

    with ProgressLine("converting", 0) as progress:
        write(args.input, args.output, args.precision, progress)
    print(args.output)


def parity(args) -> int:
    from ..tools.parity import parity as compare

    device = pick_device("cpu" if args.device == "auto" else args.device)  # the reference was computed on one
    result = compare(
        args.model,
        args.expected,
        device,
        pick_precision("fp32" if args.precision == "auto" else args.precision, device),
    )
    for name, difference in result.differences.items():
        print(f"{name:<18} greatest difference {difference:.2e}")
    print(f"{'greedy codes':<18} {result.codes - result.wrong_codes} of {result.codes} the same")
    good = result.within(args.tolerance)
    print("parity holds" if good else f"NO parity (tolerance {args.tolerance:g})")
    return 0 if good else 1


def bench(args) -> None:
    from ..tools.bench import bench as measure

    device = pick_device(args.device)
    result = measure(
        args.size,
        device,
        pick_precision(args.precision, device),
        frames=args.frames,
        prompt_rows=args.prompt_rows,
        takes=args.takes,
        paths=args.paths,
        exact=args.exact,
        say=lambda line: print(line, file=sys.stderr),
    )
    for name, value in result.items():
        if name != "runs":
            print(f"{name:<18} {value:.4g}" if isinstance(value, float) else f"{name:<18} {value}")
    for run in result["runs"]:
        print(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in run.items()
            )
        )
    written = {args.json: json.dumps(result, indent=2) + "\n"}
    if args.picture:
        from ..tools.chart import chart

        written[args.picture] = chart(result)
    for file, text in written.items():
        if file:
            with replacing(Path(file)) as temporary:
                temporary.write_text(text)
