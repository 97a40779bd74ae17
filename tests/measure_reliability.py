"""The reliability table of README.md, made by one command.

    python tests/measure_reliability.py --cases 100000

Draws inputs of every kind that comes from strangers, most of them a good one with something changed, and
gives them to the engine. Each must end in a result or in a MisoError, within 10 s and 1 GB, and leave no file
behind. The same number of cases and the same seed draw the same cases.
"""

import argparse
import faulthandler
import logging
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from fuzz.kinds import kinds  # noqa: E402
from fuzz.samples import make_samples  # noqa: E402
from fuzz.trial import Report, limit_memory, try_kind  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000, help="of all kinds together (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="KIND", help="one kind alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    chosen = [kind for kind in kinds() if args.only in (None, kind.name)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        make_samples(Path(folder))
        for kind in chosen:  # what is imported on first use doesn't count as a case's memory
            try_kind(kind, 3, Path(folder), 1)
        limit_memory()
        reports = []
        for kind in chosen:
            faulthandler.dump_traceback_later(600 + args.cases / 10, exit=True)  # a hang in C
            reports.append(try_kind(kind, -(-args.cases // len(chosen)), Path(folder), args.seed))
            print(_line(reports[-1]), file=sys.stderr, flush=True)
    print("\n".join([_HEAD, *map(_line, reports)]))
    total = sum(report.cases for report in reports)
    print(f"\n{total:,} cases in {time.monotonic() - began:.0f} s")
    for report in reports:
        for fault, case in report.failures.items():
            print(f"{report.kind}: {fault}\n    {case}")
    return 1 if any(report.failures for report in reports) else 0


_HEAD = "| input | cases | refused in words | slowest | faults |\n|---|---|---|---|---|"


def _line(r: Report) -> str:
    return f"| {r.kind} | {r.cases:,} | {r.refused:,} | {r.slowest:.2f} s | {len(r.failures)} |"


if __name__ == "__main__":
    sys.exit(main())
