"""Fingerprints: which weights a checkpoint has, whatever its files are called and say of themselves."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ..errors import MisoError
from ..files import Entry, cache_folder, replacing
from ..progress import Progress

_PIECE = 2**24  # bytes that a thread reads and hashes at once
_THREADS = 8


def fingerprint(
    about: str,
    entries: Mapping[str, Entry],
    files: Mapping[str, Path],
    sources: Iterable[Path],
    progress: Progress | None = None,
) -> str:
    """32 hexadecimal digits that change with ``about`` and with every byte of every tensor.

    ``files`` says where each tensor is. Files are read once: the result is remembered until one of
    ``sources`` has another size, time or inode. ``progress`` counts pieces of 16 MB.
    """
    stamps = json.dumps([about, *map(stamp, map(str, sources))])
    note = cache_folder() / "fingerprints" / hashlib.sha256(os.fsencode(stamps)).hexdigest()[:32]
    with suppress(OSError, UnicodeDecodeError):
        if len(known := note.read_text(encoding="ascii")) == 32:
            return known
    digest = hashlib.sha256(about.encode())
    pieces = list(_pieces(entries, files))
    with ThreadPoolExecutor(_THREADS) as threads:
        for done, (name, piece) in enumerate(zip((p[0] for p in pieces), threads.map(_digest, pieces))):
            if progress:
                progress(done, len(pieces))
            digest.update(f"{name} {entries[name].dtype} {entries[name].shape}".encode() + piece)
    made = digest.hexdigest()[:32]
    with suppress(MisoError), replacing(note) as temporary:
        temporary.write_text(made, encoding="ascii")
    return made


def stamp(name: str) -> list:
    """A file's name, size, times and inode, or only its name if it does not exist.

    The ctime reveals a file that was replaced by one with the same mtime.
    """
    try:
        stat = os.stat(name)
    except OSError:
        return [name]
    return [name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _pieces(entries: Mapping[str, Entry], files: Mapping[str, Path]) -> Iterator[tuple[str, Path, int, int]]:
    """Name, file, start and end of every piece, independent of how tensors lie in the files."""
    for name in sorted(entries):
        entry = entries[name]
        for start in range(entry.start, max(entry.end, entry.start + 1), _PIECE):
            yield name, files[name], start, min(start + _PIECE, entry.end)


def _digest(piece: tuple[str, Path, int, int]) -> bytes:
    _, path, start, end = piece
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.sha256(file.read(end - start)).digest()
