"""The store: codes kept on disk between runs, so that nothing is sampled twice.

An entry's key is a hash of everything that determines the codes. It consists of ``KEY.safetensors``, an
ordinary codes file, and ``KEY.hidden.safetensors`` if hidden states were kept, an ordinary file too: both can
be copied and used elsewhere. Each file is written to a temporary name and renamed, the hidden states first,
so that a visible entry is complete; every read verifies a digest of the content. Several servers can share a
folder: they write the same content under the same key, and an entry that another server has removed is
treated as absent.
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
from ..files import parse_json, read_header
from ..limits import MAX_FRAMES, is_number
from .codes import Codes
from .hidden import Hidden
from .takes import take_from_json

log = logging.getLogger(__name__)

FOLDER = "miso_store"  # in ComfyUI's user folder
LIMIT = 2 * 2**30  # bytes; an hour of the 8B model is 370 MB with hidden states in bf16, 3 MB without
LATEST = "turns"  # a folder in a store's for a store of the last codes of every turn
NOTE = "miso.kept"  # key of our metadata in an entry's codes file
_ENTRY = re.compile(r"([0-9a-f]{64})\.safetensors")
# files that a killed write has left: our own temporaries, or safetensors', which it puts beside them
_LEFTOVER = re.compile(r"\.[0-9a-f]{64}\..*safetensors|\.tmp[A-Za-z0-9]{6}")
_HIDDEN = re.compile(r"([0-9a-f]{64})\.hidden\.safetensors")
_LATEST_TIME = 2.5e11  # seconds since 1970: the year 9892, about the last one that can be written
_STALE = 3600  # seconds; an unfinished file older than this was left by a crash


@dataclass(frozen=True)
class Kept:
    """An entry's properties, known without reading its codes."""

    key: str
    text: str  # of the first take
    seeds: tuple[int | None, ...]  # of each take
    seconds: float  # of the longest take
    made: float  # Unix time
    used: float  # Unix time of the last use
    size: int  # bytes, hidden states included
    hidden: bool  # whether hidden states were kept


class Store:
    """Entries in ``folder``, at most ``limit`` bytes in total: the least recently used are removed first."""

    def __init__(self, folder: str | os.PathLike, limit: int = LIMIT):
        self.folder, self.limit = Path(folder), limit

    def get(self, key: str) -> tuple[Codes, Hidden | None] | None:
        """The codes and hidden states of a key, or None. Marks the entry as used; removes a damaged one."""
        path = self._codes_path(key)
        if (seen := _version(path)) is None:
            return None
        try:
            entry = self._read(key)
        except Exception as e:  # whatever is wrong, the codes can be sampled again
            self._remove_damaged(key, e, seen)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return entry

    def put(self, key: str, codes: Codes, hidden: Hidden | None = None) -> bool:
        """Keep the results of a run; returns False if they were interrupted or exceed the limit.

        A folder that can't be written to is logged and not raised, because the run has its codes anyway.
        """
        if any(take.stop == "interrupted" for take in codes.takes):
            return False
        if codes.tensor.numel() * 2 + (hidden.tensor.nbytes if hidden is not None else 0) > self.limit:
            limit = self.limit / 1e6
            log.info("Miso: the codes are not kept: they exceed the store's limit of %.0f MB", limit)
            return False
        note = {
            "key": key,
            "codes": codes.digest(),
            "hidden": None if hidden is None else hidden.digest(),
            "made": time.time(),
        }
        try:
            if hidden is not None:
                hidden.save(self._hidden_path(key))
            codes.save(self._codes_path(key), {NOTE: json.dumps(note)})
        except (MisoError, OSError) as e:
            log.warning("Miso: the codes could not be kept (%s)", e)
            if not self._codes_path(key).exists():  # hidden states alone are no entry
                self._remove(key)
            return False
        self.prune()
        return True

    def verify(self) -> list[str]:
        """Read every entry and remove damaged ones; returns the keys of those."""
        damaged = []
        for key in self._keys():
            seen = _version(self._codes_path(key))
            try:
                self._read(key)
            except Exception as e:
                damaged += [key] if self._remove_damaged(key, e, seen) else []
        return damaged

    def prune(self, limit: int | None = None) -> int:
        """Remove the least recently used entries beyond ``limit`` bytes; returns the number removed."""
        limit, removed = self.limit if limit is None else limit, 0
        entries = {key: stat for key in self._keys() if (stat := self._stat(key))}
        self._remove_leftovers(entries)
        total = sum(size for size, _ in entries.values())
        for key, (size, _) in sorted(entries.items(), key=lambda entry: entry[1][1]):
            if total <= limit:
                break
            if self._remove(key):
                total, removed = total - size, removed + 1
        return removed

    def clear(self) -> int:
        """Remove all entries, also of the store of turns in it; returns their number."""
        turns = self.folder / LATEST
        return self.prune(-1) + (Store(turns).clear() if turns.is_dir() else 0)

    def list(self) -> list[Kept]:
        """All entries, the most recently used first. Reads headers only, each once."""
        return sorted(filter(None, map(self._describe, self._keys())), key=lambda kept: -kept.used)

    def _codes_path(self, key: str) -> Path:
        if not _ENTRY.fullmatch(name := f"{key}.safetensors"):
            raise MisoError(f"'{key}' is not a key of kept codes.")
        return self.folder / name

    def _hidden_path(self, key: str) -> Path:
        return self._codes_path(key).with_suffix(".hidden.safetensors")

    def _keys(self) -> Iterator[str]:
        with contextlib.suppress(OSError):  # no folder yet, or something else in its place
            matches = map(_ENTRY.fullmatch, os.listdir(self.folder))
            yield from sorted(match[1] for match in matches if match)

    def _stat(self, key: str) -> tuple[int, float] | None:
        """Size and time of the last use of an entry; None if it does not exist."""
        try:
            stat = self._codes_path(key).stat()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            return stat.st_size + self._hidden_path(key).stat().st_size, stat.st_mtime
        return stat.st_size, stat.st_mtime

    def _read(self, key: str) -> tuple[Codes, Hidden | None]:
        """Read and verify an entry. Any exception means that it is damaged or does not exist."""
        note = parse_json(read_header(self._codes_path(key))[0][NOTE], "The note")
        codes, hidden = Codes.load(self._codes_path(key)), None
        if note["key"] != key or codes.digest() != note["codes"]:
            raise MisoError("The codes are not those that were written.")
        if note["hidden"]:
            hidden = Hidden.load(self._hidden_path(key))
            # copy, because Windows can't remove a file that is still mapped
            hidden = replace(hidden, tensor=hidden.tensor.clone())
            if hidden.digest() != note["hidden"]:
                raise MisoError("The hidden states are not those that were written.")
        return codes, hidden

    def _describe(self, key: str) -> Kept | None:
        """An entry's properties from its header; None if it is damaged or does not exist."""
        if not (stat := self._stat(key)):
            return None
        size, used = stat
        path = self._codes_path(key)
        try:
            text, seeds, seconds, note = _read_header(str(path), path.stat().st_size)
            return Kept(key, text, seeds, seconds, note["made"], used, size, bool(note["hidden"]))
        except Exception:  # whatever is wrong with one entry, the others are listed
            return None

    def _remove_damaged(self, key: str, error: Exception, seen: tuple[int, int] | None) -> bool:
        """Remove an entry that could not be read.

        Returns False if another server has removed it, or written it anew since it was ``seen``.
        """
        if seen is None or _version(self._codes_path(key)) != seen:
            return False
        log.warning("Miso: the kept codes %s are damaged and will be removed (%s)", key[:12], error)
        self._remove(key)
        return True

    def _remove(self, key: str) -> bool:
        """Remove an entry; returns whether it is gone."""
        # the codes first: without them there is no entry
        for path in (self._codes_path(key), self._hidden_path(key)):
            try:
                path.unlink(missing_ok=True)
            except OSError as e:
                log.warning("Miso: %s can't be removed (%s)", path, e)
        return not os.path.lexists(self._codes_path(key))

    def _remove_leftovers(self, keys: Collection[str]) -> None:
        """Remove what a crash has left: temporary files, and hidden states without codes."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):
                hidden = _HIDDEN.fullmatch(name)
                if _LEFTOVER.fullmatch(name) or hidden and hidden[1] not in keys:
                    with contextlib.suppress(OSError):
                        if time.time() - (self.folder / name).stat().st_mtime > _STALE:
                            (self.folder / name).unlink()


def _version(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of the same name; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size


@lru_cache(4096)
def _read_header(path: str, size: int) -> tuple[str, tuple[int | None, ...], float, dict]:
    """Text, seeds, seconds and note of a codes file.

    The content under a key does not change, so that it can be cached; ``size`` reveals a file that was
    replaced.
    """
    metadata, entries = read_header(path)
    about, note = (parse_json(metadata[name], name) for name in ("about", NOTE))
    takes = [take_from_json(take) for take in about["takes"]]
    text = takes[0].label
    seconds = entries["codes"].shape[2] / float(about["frame_rate"])
    if not (0 <= seconds <= MAX_FRAMES and is_number(note["made"], 0, _LATEST_TIME)):
        raise MisoError("The description is damaged.")
    return text, tuple(take.seed for take in takes), seconds, note
