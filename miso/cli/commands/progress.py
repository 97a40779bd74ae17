"""Progress on a terminal."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """A line on standard error, drawn at most ten times a second; nothing if that is not a terminal.

    >>> with ProgressLine("sampling", 375) as progress:
    ...     progress(done)
    """

    def __init__(self, label: str, total: int):
        self.label, self.total = label, total
        self._visible = sys.stderr.isatty()
        self._next_time = 0.0

    def __enter__(self) -> ProgressLine:
        return self

    def __call__(self, done: int, total: int | None = None) -> None:
        now = time.monotonic()
        if self._visible and now >= self._next_time:
            self._next_time = now + 0.1
            sys.stderr.write(f"\r{self.label} {done}/{total or self.total} ")
            sys.stderr.flush()

    def __exit__(self, *_) -> None:
        if self._visible:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
