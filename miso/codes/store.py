"""Codes kept on disk between runs, under a key of all that decides them: what was sampled once is not sampled again, nor its model loaded.

An entry is ``KEY.safetensors``, an ordinary codes file, and ``KEY.hidden.safetensors`` where hidden states were kept: ordinary too,
so that both can be copied out and used. Each is written to a temporary name and renamed, the hidden states first, so that an entry
that can be seen is whole; every read checks it against a digest of its content. Several servers may share a folder: all of them
write the same under a key, and an entry that another one has removed is one that was never there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ..errors import MisoError
from ..files import read_header
from .codes import Codes
from .hidden import Hidden

log = logging.getLogger(__name__)

FOLDER = "miso_store"  # in ComfyUI's user folder
LIMIT = 2 * 2**30  # bytes; an hour of the 8B model is 370 MB with hidden states in bf16, 3 MB without
NOTE = "miso.kept"  # our metadata in an entry's codes file
_ENTRY = re.compile(r"([0-9a-f]{64})\.safetensors")
_STALE = 3600  # seconds; an unfinished file older than this is what a crash left, not one being written


@dataclass(frozen=True)
class Kept:
    """What is known of an entry without reading its codes."""

    key: str
    text: str  # what its first take says
    seeds: tuple[int | None, ...]  # of its takes
    seconds: float  # of its longest take
    made: float  # seconds since 1970
    used: float
    size: int  # bytes, hidden states included
    hidden: bool


class Store:
    """The entries in ``folder``, together ``limit`` bytes at most: those used longest ago go first."""

    def __init__(self, folder: str | os.PathLike, limit: int = LIMIT):
        self.folder, self.limit = Path(folder), limit

    def get(self, key: str) -> tuple[Codes, Hidden | None] | None:
        """The codes and hidden states of a key, or None. Use makes an entry the last to go; a damaged one is removed."""
        path = self._codes(key)
        if not path.is_file():
            return None
        try:
            found = self._read(key)
        except Exception as e:  # whatever is wrong with it, it can be made again
            self._damaged(key, e)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def put(self, key: str, codes: Codes, hidden: Hidden | None = None) -> bool:
        """Keep what a run gave; False if it was not kept, because it was interrupted or is larger than the limit.

        A folder that can't be written to is logged, not raised: the run has its codes anyway.
        """
        if any(take.stop == "interrupted" for take in codes.takes):
            return False
        if codes.tensor.numel() * 2 + (hidden.tensor.nbytes if hidden is not None else 0) > self.limit:
            log.info(
                "Miso: the codes are not kept: they are larger than the store's limit of %.0f MB",
                self.limit / 1e6,
            )
            return False
        note = {
            "key": key,
            "codes": codes.digest(),
            "hidden": None if hidden is None else hidden.digest(),
            "made": time.time(),
        }
        try:
            if hidden is not None:
                hidden.save(self._hidden(key))
            codes.save(self._codes(key), {NOTE: json.dumps(note)})
        except (MisoError, OSError) as e:
            log.warning("Miso: the codes could not be kept (%s)", e)
            return False
        self.prune()
        return True

    def list(self) -> list[Kept]:
        """All entries, the one used last first. Reads headers only, each once."""
        return sorted(filter(None, map(self._about, self._keys())), key=lambda kept: -kept.used)

    def verify(self) -> list[str]:
        """Read every entry. Gives the keys of those that were damaged, which are removed."""
        damaged = []
        for key in self._keys():
            try:
                self._read(key)
            except Exception as e:
                damaged += [key] if self._damaged(key, e) else []
        return damaged

    def prune(self, limit: int | None = None) -> int:
        """Remove entries, used longest ago first, until the rest is within ``limit`` bytes. Gives the number removed."""
        limit, removed = self.limit if limit is None else limit, 0
        entries = {key: stat for key in self._keys() if (stat := self._stat(key))}
        self._sweep(entries)
        total = sum(size for size, _ in entries.values())
        for key, (size, _) in sorted(entries.items(), key=lambda entry: entry[1][1]):
            if total <= limit:
                break
            self._remove(key)
            total, removed = total - size, removed + 1
        return removed

    def clear(self) -> int:
        """Remove all entries. Gives their number."""
        return self.prune(-1)

    def _codes(self, key: str) -> Path:
        if not _ENTRY.fullmatch(name := f"{key}.safetensors"):
            raise MisoError(f"'{key}' is no key of kept codes.")
        return self.folder / name

    def _hidden(self, key: str) -> Path:
        return self._codes(key).with_suffix(".hidden.safetensors")

    def _keys(self) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError):
            yield from sorted(
                match[1] for name in os.listdir(self.folder) if (match := _ENTRY.fullmatch(name))
            )

    def _stat(self, key: str) -> tuple[int, float] | None:
        """Size and time of last use of an entry; None if it has vanished."""
        try:
            stat = self._codes(key).stat()
        except FileNotFoundError:
            return None
        with contextlib.suppress(FileNotFoundError):
            return stat.st_size + self._hidden(key).stat().st_size, stat.st_mtime
        return stat.st_size, stat.st_mtime

    def _read(self, key: str) -> tuple[Codes, Hidden | None]:
        """An entry, checked. Any exception means that it is damaged, or has vanished."""
        note = json.loads(read_header(self._codes(key))[0][NOTE])
        codes, hidden = Codes.load(self._codes(key)), None
        if note["key"] != key or codes.digest() != note["codes"]:
            raise MisoError("The codes are not those that were written.")
        if note["hidden"]:
            hidden = Hidden.load(self._hidden(key))
            hidden = replace(
                hidden, tensor=hidden.tensor.clone()
            )  # off the mapped file, which Windows could not remove otherwise
            if hidden.digest() != note["hidden"]:
                raise MisoError("The hidden states are not those that were written.")
        return codes, hidden

    def _about(self, key: str) -> Kept | None:
        """What the header says of an entry; None if it is damaged or has vanished."""
        if not (stat := self._stat(key)):
            return None
        try:
            text, seeds, seconds, note = _header(str(self._codes(key)), self._codes(key).stat().st_size)
            return Kept(key, text, seeds, seconds, note["made"], stat[1], stat[0], bool(note["hidden"]))
        except (MisoError, OSError, ValueError, KeyError, TypeError, IndexError):
            return None

    def _damaged(self, key: str, error: Exception) -> bool:
        """Remove an entry that couldn't be read; False if it was gone already, which another server may have seen to."""
        if not self._codes(key).is_file():
            return False
        log.warning("Miso: the kept codes %s are damaged and are removed (%s)", key[:12], error)
        self._remove(key)
        return True

    def _remove(self, key: str) -> None:
        for path in (self._codes(key), self._hidden(key)):  # the codes first: without them there is no entry
            try:
                path.unlink(missing_ok=True)
            except OSError as e:
                log.warning("Miso: %s can't be removed (%s)", path, e)

    def _sweep(self, keys: Collection[str]) -> None:
        """Remove what a crash has left: temporary files, and hidden states without their codes."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.folder):
                match = re.fullmatch(r"(\.?)([0-9a-f]{64})\..*safetensors", name)
                if match and (match[1] or match[2] not in keys):
                    with contextlib.suppress(OSError):
                        if time.time() - (self.folder / name).stat().st_mtime > _STALE:
                            (self.folder / name).unlink()


@lru_cache(4096)
def _header(path: str, size: int) -> tuple[str, tuple[int | None, ...], float, dict]:
    """Text, seeds, seconds and note of a codes file. What is under a key doesn't change; ``size`` tells a file put in its place."""
    metadata, entries = read_header(path)
    about = json.loads(metadata["about"])
    text = " ".join(span["text"] for span in about["takes"][0]["spans"])
    return (
        text,
        tuple(take["seed"] for take in about["takes"]),
        entries["codes"].shape[2] / about["frame_rate"],
        json.loads(metadata[NOTE]),
    )
