"""The files of a checkpoint: one, or shards with or without an index."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import MisoError
from ..files import is_name, read_json
from ..limits import shown

_INDEX = ".safetensors.index.json"
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")


def shards(path: Path) -> list[Path]:
    """The .safetensors files of a checkpoint that is a file, one of several shards, an index, or a folder.

    Raises MisoError if the index can't be read, or a shard is missing.
    """
    if path.is_dir():
        path = _in_folder(path)
    if path.suffix == ".json":
        return _indexed(path)
    if shard := _SHARD.fullmatch(path.name):
        return _siblings(path, shard["stem"], int(shard["count"]))
    return [path]


def _in_folder(folder: Path) -> Path:
    """The file to open of a folder: an index, else model.safetensors, else the first other one."""
    whole = folder / "model.safetensors"
    candidates = [*sorted(folder.glob(f"*{_INDEX}")), whole, *sorted(folder.glob("*.safetensors"))]
    return next((candidate for candidate in candidates if candidate.is_file()), whole)


def _indexed(index: Path) -> list[Path]:
    try:
        names = set(read_json(index)["weight_map"].values())
        if outside := [name for name in names if not is_name(name)]:
            raise MisoError(
                f"{index.name} names {shown(outside[0])}, which is not a file beside it.",
                "Download it again.",
            )
    except (KeyError, TypeError, AttributeError) as e:
        raise MisoError(
            f"{index.name} can't be read as an index of shards ({type(e).__name__}).", "Download it again."
        ) from e
    return [index.parent / name for name in sorted(names)]


def _siblings(path: Path, stem: str, count: int) -> list[Path]:
    files = [path.with_name(f"{stem}-{i:05}-of-{count:05}.safetensors") for i in range(1, count + 1)]
    if missing := [file.name for file in files if not file.is_file()]:
        raise MisoError(
            f"{path.name} is one of {count} files, and {missing[0]} is not beside it.",
            "Download the missing files too.",
            input="checkpoint",
        )
    return files
