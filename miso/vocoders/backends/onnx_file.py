"""What an ONNX file says about itself, read before a runtime opens it.

An ONNX file is a message of Protocol Buffers: nested fields, each with a number and a length. Nothing in it
is code; but it may name other files as its weights, which are refused here.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from ...errors import MisoError
from ...files import open_regular

# field numbers of onnx.proto
_GRAPH, _METADATA, _FUNCTIONS = 7, 14, 25  # of a model
# Where a message may hold a tensor: number of the field -> kind of the message in it.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {_GRAPH: "graph", _FUNCTIONS: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL, _LOCATION = 13, 14  # of a tensor
_DEEPEST = 30


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """The metadata of an ONNX file.

    Raises MisoError if the file is no ONNX file, is cut short, or has weights in other files.
    """
    path = Path(path)
    with open_regular(path) as file:
        if not os.fstat(file.fileno()).st_size:
            raise _damaged(path)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                external = _has_external(data, 0, len(data), "model")
                numbers = {number for number, _, _ in _fields(data, 0, len(data))}
                pairs = [
                    {number: data[a:b].decode() for number, a, b in _fields(data, start, end)}
                    for number, start, end in _fields(data, 0, len(data))
                    if number == _METADATA
                ]
                metadata = {pair[1]: pair.get(2, "") for pair in pairs}
            except (ValueError, IndexError, KeyError) as e:
                raise _damaged(path) from e
    if external:
        raise MisoError(
            f"{path.name} keeps weights in other files, which Miso doesn't open.",
            "Make one that holds everything, with: python -m miso export",
        )
    if _GRAPH not in numbers:
        raise _damaged(path)
    return metadata


def _has_external(data: mmap.mmap, start: int, end: int, kind: str, depth: int = 0) -> bool:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    for number, first, last in _fields(data, start, end):
        if kind == "tensor":
            if number == _EXTERNAL or (number == _LOCATION and last > first):
                return True
        elif number in _INSIDE[kind] and _has_external(data, first, last, _INSIDE[kind][number], depth + 1):
            return True
    return False


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of a message. A number that is 0 has no length."""
    while start < end:
        key, start = _varint(data, start)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, after = _varint(data, start)
            first = start if value else after
        elif wire == 2:
            length, first = _varint(data, start)
            after = first + length
        elif wire in (1, 5):
            first, after = start, start + (8 if wire == 1 else 4)
        else:
            raise ValueError(f"wire type {wire}")
        if not number or after > end:
            raise ValueError("a field beyond its message")
        yield number, first, after
        start = after


def _varint(data: mmap.mmap, start: int) -> tuple[int, int]:
    """An integer of variable length, and where it ends."""
    value = 0
    for i in range(10):
        byte = data[start + i]
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, start + i + 1
    raise ValueError("an integer that is too long")


def _damaged(path: Path) -> MisoError:
    return MisoError(
        f"{path.name} is not an ONNX file, or it is damaged.",
        "The backend 'onnx' opens what `python -m miso export` makes of a codec's .safetensors file.",
    )
