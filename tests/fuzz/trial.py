"""Cases tried one after another. Each ends in a result or a MisoError, soon, and leaves nothing behind."""

import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.kinds import Kind
from hypothesis import HealthCheck, Phase, given, seed, settings

from miso.errors import MisoError

LONGEST = 10.0  # seconds of CPU of a case: other processes don't count
MEMORY = 2**30  # bytes that a case may take
_ROOT = str(Path(__file__).parents[2])
_SHOWN = 5  # failures of a kind that are described


@dataclass
class Report:
    """What came of the cases of a kind; ``failures`` maps a fault to the first case that showed it."""

    kind: str
    cases: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


def limit_memory() -> None:
    """From here on this process can have ``MEMORY`` more than it has (Linux)."""
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def try_kind(kind: Kind, cases: int, folder: Path, start: int) -> Report:
    """Try cases drawn from ``start``, the same for the same number."""
    report = Report(kind.name)

    @seed(start)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.cases)
    def tried(case: Any) -> None:
        report.cases += 1
        fault, refused, seconds = judge(lambda: kind.run(case, folder), folder)
        report.refused += refused
        report.slowest = max(report.slowest, seconds)
        if fault and fault not in report.failures:
            report.failures[fault] = repr(case)[:300]

    tried()
    return report


def judge(run: Callable[[], None], folder: Path | None = None) -> tuple[str, bool, float]:
    """Run one case: its fault or "", whether it was refused, and the seconds that it took."""
    before = _files(folder)
    fault, refused, began = "", False, time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except MisoError as e:
        refused = True
        if not e.problem.strip() or len(str(e)) > 4000:
            fault = f"a message of {len(str(e))} characters: {str(e)[:80]!r}"
    except Exception as e:
        frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename.startswith(_ROOT)]
        ours = [f for f in frames if "/.miso/" not in f.filename] or frames
        place = f"{os.path.relpath(ours[-1].filename, _ROOT)}:{ours[-1].lineno}" if ours else "?"
        fault = f"{type(e).__name__} at {place}: {str(e)[:100]}"
    seconds = time.process_time() - began
    if not fault and seconds > LONGEST:
        fault = f"took {seconds:.0f} s"
    if not fault and (left := _files(folder) ^ before):
        fault = f"left or removed {sorted(left)[0]}"
    return fault, refused, seconds


def _files(folder: Path | None) -> set[str]:
    return set() if folder is None else {str(path.relative_to(folder)) for path in folder.rglob("*")}
