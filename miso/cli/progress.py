"""A line of progress on a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """``with ProgressLine("sampling", 375) as progress: progress(done)``; drawn ten times a second at most."""

    def __init__(self, what: str, total: int):
        self.what, self.total, self._next, self._shown = what, total, 0.0, sys.stderr.isatty()

    def __enter__(self) -> ProgressLine:
        return self

    def __call__(self, done: int, total: int | None = None) -> None:
        if self._shown and (now := time.monotonic()) >= self._next:
            self._next = now + 0.1
            sys.stderr.write(f"\r{self.what} {done}/{total or self.total} ")
            sys.stderr.flush()

    def __exit__(self, *_) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
