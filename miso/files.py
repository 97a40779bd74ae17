"""Safetensors files: recognised by content, written completely or not at all. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import json
import operator
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import MisoError

if TYPE_CHECKING:
    import torch
    from safetensors import safe_open

_MAX_HEADER = 100 * 2**20  # the limit of the safetensors format itself
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch archives, bare pickles


class Entry(NamedTuple):
    """One tensor in a safetensors header; ``start`` and ``end`` are positions of its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: str | os.PathLike) -> tuple[dict[str, str], dict[str, Entry]]:
    """Metadata and tensor entries of a safetensors file, from its header alone (no torch, no data is read).

    Raises MisoError for any other content, whatever the file's name: pickles are named as such, and for a
    truncated file the message gives the missing length.
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
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata that is not text")
        data = 8 + length
        entries = {
            name: Entry(
                e["dtype"],
                tuple(map(operator.index, e["shape"])),
                *(data + offset for offset in e["data_offsets"]),
            )
            for name, e in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        # checked last, because the length of a valid header may start with these bytes
        if start.startswith(_PICKLES):
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
def open_tensors(path: str | os.PathLike, device: str = "cpu") -> Iterator[safe_open]:
    """Memory-map a safetensors file after checking its header; yields what ``safetensors.safe_open`` does."""
    read_header(path)
    from safetensors import safe_open

    with safe_open(os.fspath(path), framework="pt", device=device) as file:
        yield file


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it is renamed to ``path`` if the block succeeds, otherwise
    deleted.

    Raises MisoError if ``path`` can't be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # keep the suffix: encoders choose the container by it
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:80]}.", suffix=path.suffix)
        os.close(handle)
    except OSError as e:
        raise _cannot_write(path, e) from e
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp creates private files
        try:
            os.replace(temporary, path)
        except OSError as e:
            raise _cannot_write(path, e) from e
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> MisoError:
    return MisoError(
        f"{path} can't be written: {error.strerror or error}.", "Choose another place, or free some space."
    )


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; if writing fails, a file already at ``path`` stays unchanged."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata=dict(metadata))


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The content of a CPU tensor of one or more dimensions as bytes; copied only if it is not contiguous."""
    import torch

    return tensor.contiguous().view(torch.uint8).numpy().data
