"""The manifest of a batch: what became of each line, and how it is known that a line is finished."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ...errors import MisoError
from ...files import file_digest, read_json, replacing

FILE = "manifest.json"
FORMAT = "miso.batch/1"
_EVERY = 1.0  # seconds between writes


class Manifest:
    """``manifest.json`` in a folder: an object for each line, in the order of the table.

    A line's ``status`` is ``waiting``, ``done`` or ``failed``. Of a line that is done, ``key`` stands for all
    that decides its files, and ``files`` has their names and SHA-256 digests: so a line counts as finished
    only if the same would be made again, and its files are as they were written.
    """

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self.lines: list[dict[str, Any]] = []
        self._written = 0.0
        self._before = self._read() if self.path.exists() else {}

    def add(self, row: int, name: str, **about: Any) -> dict[str, Any]:
        """A line of the table, in its order; returns what is to be filled in."""
        self.lines.append({"row": row, "name": name, "status": "waiting", **about})
        return self.lines[-1]

    def take_finished(self, line: dict[str, Any], key: str) -> bool:
        """Whether the line was finished by an earlier run, whose record is then taken over."""
        before = self._before.get(line["name"], {})
        files = before.get("files")
        if before.get("key") != key or not isinstance(files, dict):
            return False
        for name, digest in files.items():
            path = self.path.parent / Path(name).name
            if not path.is_file() or file_digest(path) != digest:
                return False
        line.update({**before, "row": line["row"]})
        return True

    def finish(self, line: dict[str, Any], key: str, files: list[Path], **about: Any) -> None:
        digests = {path.name: file_digest(path) for path in files}
        line.update(status="done", **about, key=key, files=digests)
        if time.monotonic() - self._written > _EVERY:
            self.write()

    def fail(self, line: dict[str, Any], problem: str) -> None:
        line.update(status="failed", problem=problem)

    def write(self) -> None:
        """Raises MisoError if that can't be done; the file then stays as it was."""
        with replacing(self.path) as temporary:
            text = json.dumps({"format": FORMAT, "lines": self.lines}, indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        self._written = time.monotonic()

    def _read(self) -> dict[str, dict[str, Any]]:
        """The finished lines of an earlier run by name. A damaged manifest is as none."""
        try:
            found = read_json(self.path)
            done = [line for line in found["lines"] if line["status"] == "done"]
            return {line["name"]: line for line in done} if found["format"] == FORMAT else {}
        except (MisoError, KeyError, TypeError):
            return {}
