"""The reliability table of README.md, made by one command.

    python tests/measure_reliability.py --cases 100000

Draws inputs of every kind that comes from strangers, most of them a good one with something changed, and
gives them to the engine. Each must end in a result or in a MisoError, within 10 s and 1 GB, and leave no file
behind. The same number of cases and the same seed draw the same cases. Then runs the tests that inject faults
for real: processes killed, disks full, hubs that misbehave. Run it in the test environment.
"""

import argparse
import faulthandler
import logging
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz.kinds import kinds  # noqa: E402
from fuzz.samples import make_samples  # noqa: E402
from fuzz.trial import Report, limit_memory, try_kind  # noqa: E402

# faults of each kind of input that earlier runs found, all mended
MENDED = {
    "checkpoints": 2,
    "vocoders": 1,
    "vocoders of ONNX": 5,
    "LoRA adapters": 13,
    "sound files": 2,
    "arrays of codes": 1,
}
STORE = "codes/test_store_faults.py"
# the tests of each kind of fault, and how many faults of the pack led to them, all mended
INJECTED = {
    "a process killed while it keeps, converts or downloads": (
        [
            f"{STORE}::test_killed_writes_leave_whole_entries_only",
            f"{STORE}::test_leftovers_are_swept_if_they_are_old_and_ours",
            "checkpoints/test_convert.py::test_a_killed_conversion_leaves_the_old_file_or_the_new_one",
            "checkpoints/test_hub.py::test_a_killed_download_is_fetched_again_and_leaves_nothing",
        ],
        2,
    ),
    "a full or read-only disk, a file that can't be removed": (
        [
            "codes/test_store.py::test_a_full_disk_costs_the_entry_alone",
            "test_files.py::test_a_full_disk_is_told_in_words_and_leaves_the_old_file",
            "test_files.py::test_a_read_only_disk_is_told_in_words",
            f"{STORE}::test_prune_counts_what_it_removed",
        ],
        2,
    ),
    "another server on the store, a clock that jumps": (
        [
            f"{STORE}::test_a_new_entry_in_the_place_of_a_damaged_one_stays",
            f"{STORE}::test_a_vanished_entry_is_not_called_damaged",
            f"{STORE}::test_odd_times_of_entries_hide_those_alone",
            f"{STORE}::test_a_clock_that_jumps_costs_nothing_kept",
        ],
        3,
    ),
    "a hub that cuts, refuses (401 to 500) or sends another file": (["checkpoints/test_hub.py"], 2),
    "a page that goes away while it is sent sound": (["nodes/test_connection.py"], 0),
    "a device without memory": (
        ["nodes/test_memory.py::test_a_block_without_memory_runs_once_more_with_nothing_else_loaded"],
        1,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000, help="of all kinds together (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="KIND", help="one kind alone")
    parser.add_argument("--no-faults", action="store_true", help="inject no faults afterwards")
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
    print(f"\n{total:,} cases in {time.monotonic() - began:.0f} s\n")
    failed = 0 if args.only or args.no_faults else inject()
    for report in reports:
        for fault, case in report.failures.items():
            print(f"{report.kind}: {fault}\n    {case}")
    return 1 if failed or any(report.failures for report in reports) else 0


def inject() -> int:
    """Run the tests that inject faults; prints a row for each kind and returns the number of failures."""
    print("| injected | tests | failures now | found and mended |\n|---|---|---|---|", flush=True)
    failures = 0
    for kind, (tests, mended) in INJECTED.items():
        paths = [ROOT / "tests" / test for test in tests]
        command = [sys.executable, "-m", "pytest", "-q", "--slow", *map(str, paths)]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
        passed, failed = (
            sum(map(int, re.findall(rf"(\d+) (?:{end})", said))) for end in ("passed", "failed|error")
        )
        failures += failed + (not passed)
        print(f"| {kind} | {passed + failed} | {failed} | {mended} |", flush=True)
    return failures


_HEAD = "| input | cases | refused in words | slowest | faults now | found and mended |\n" + 6 * "|---" + "|"


def _line(r: Report) -> str:
    mended = MENDED.get(r.kind, 0)
    return f"| {r.kind} | {r.cases:,} | {r.refused:,} | {r.slowest:.2f} s | {len(r.failures)} | {mended} |"


if __name__ == "__main__":
    sys.exit(main())
