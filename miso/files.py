"""Safetensors files: opened by content, written whole or not at all. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import MisoError

if TYPE_CHECKING:
    import torch

_MAX_HEADER = 100 * 2**20  # the limit of the safetensors format itself
_PICKLES = (
    b"PK\x03\x04",
    b"\x80\x02",
    b"\x80\x03",
    b"\x80\x04",
    b"\x80\x05",
)  # torch zip archives and bare pickles


class Entry(NamedTuple):
    """What a safetensors header says of one tensor; ``start`` and ``end`` are its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: str | os.PathLike) -> tuple[dict[str, str], dict[str, Entry]]:
    """Metadata and tensor entries of a safetensors file, by reading its header alone (no torch, no data).

    Refuses anything else by its content, whatever its name; names pickles as such and says how short a cut file is.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            text = file.read(length) if 2 <= length <= min(_MAX_HEADER, size - 8) else b""
    except OSError as e:
        raise MisoError(
            f"{path} can't be read: {e.strerror or e}.", "Check the path and its permissions."
        ) from e
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        data = 8 + length
        entries = {
            name: Entry(e["dtype"], tuple(e["shape"]), *(data + o for o in e["data_offsets"]))
            for name, e in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        if start.startswith(_PICKLES):  # asked last: a sound header may be as long as these bytes say
            raise MisoError(
                f"{path.name} is a pickle: opening it could run any program, so it is never loaded.",
                "Get the same weights as .safetensors.",
            ) from e
        raise MisoError(
            f"{path.name} is not a safetensors file, or its start is damaged ({size:,} bytes).",
            "Choose a .safetensors file, or download it again.",
        ) from e
    end = max((e.end for e in entries.values()), default=data)
    if size < end:
        raise MisoError(f"{path.name} is cut short: {size:,} bytes of {end:,}.", "Download it again.")
    return metadata, entries


@contextlib.contextmanager
def open_tensors(path: str | os.PathLike, device: str = "cpu") -> Iterator:
    """The mapped file as ``safetensors.safe_open`` gives it (``get_tensor``, ``get_slice``, ``keys``), header checked first."""
    read_header(path)
    from safetensors import safe_open

    with safe_open(os.fspath(path), framework="pt", device=device) as file:
        yield file


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name if the block succeeds, and vanishes if it does not."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # the suffix stays: encoders choose the container by it
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:80]}.", suffix=path.suffix)
        os.close(handle)
    except OSError as e:
        raise MisoError(
            f"{path} can't be written: {e.strerror or e}.", "Choose another place, or free it."
        ) from e
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes private files; the result is an ordinary one
        try:
            os.replace(temporary, path)
        except OSError as e:
            raise MisoError(
                f"{path} can't be written: {e.strerror or e}.", "Choose another place, or free it."
            ) from e
    finally:
        temporary.unlink(missing_ok=True)


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; a failure on the way leaves whatever was at ``path`` untouched."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata=dict(metadata))
