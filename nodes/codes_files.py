"""Files of codes and conversations, and of other programs, under ComfyUI's input and output folders."""

import contextlib
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import folder_paths

from ..miso.codes.arrays import SUFFIXES, integer_arrays
from ..miso.codes.codes import FORMAT
from ..miso.errors import MisoError
from ..miso.files import read_header
from .labels import label, unlabel

FOREIGN = "integers of another program"  # what Import Codes opens, in place of a format of ours
MOST = 500  # choices: the newest files
MOST_FOLDERS = 5000
_SETTLED = 2.0  # seconds; a folder that changed less long ago may change again within one tick of its clock


class _File(NamedTuple):
    changed: int  # ns
    path: str
    size: int


class _Folder(NamedTuple):
    """What is directly in a folder: other folders, and files that may be listed."""

    changed: int  # ns
    folders: list[str]
    files: list[_File]


_folders: dict[str, _Folder] = {}  # as they were when last read


def choices(format: str = FORMAT) -> list[str]:
    """The choices of Load Codes, or of another block for files of another format, newest first."""
    return [label(name) for name in _names(format)]


def path_of(choice: str, input: str, format: str = FORMAT) -> Path:
    """The path of a file in ComfyUI's input folder, or in its output folder if marked ' [output]'.

    Never one outside them.
    """
    name, base = folder_paths.annotated_filepath(unlabel(choice, _names(format)))
    base = os.path.abspath(base or folder_paths.get_input_directory())
    for written in (name, name.replace("\\", "/")):  # a workflow from Windows
        path = os.path.abspath(os.path.join(base, written))
        if os.path.commonpath((base, path)) != base:
            raise MisoError(
                f"'{choice}' lies outside ComfyUI's folders.",
                "Choose a file of the input or output folder.",
                input=input,
            )
        if os.path.isfile(path):
            return Path(path)
    raise MisoError(
        f"File missing: put '{os.path.basename(path)}' into {os.path.dirname(path)}, or choose another.",
        "Whoever shared this workflow has it; it is a few kilobytes.",
        input=input,
    )


def modified(choice: str, format: str = FORMAT) -> int | None:
    """When the file behind a choice was last changed; None if it can't be found."""
    try:
        return path_of(choice, "file", format).stat().st_mtime_ns
    except (MisoError, OSError):
        return None


def _names(format: str) -> list[str]:
    """Files of a format in and below the input and output folders, newest first.

    ComfyUI asks for schemas often, so a folder is read again only after it has changed. What can't be read is
    left out: a schema that fails takes its block away.
    """
    found: list[tuple[_File, str]] = []
    seen: set[tuple[int, int]] = set()  # folders, however they are linked
    for root, mark in (
        (folder_paths.get_input_directory(), ""),
        (folder_paths.get_output_directory(), " [output]"),
    ):
        for file in _files_below(os.path.abspath(root), seen):
            found.append((file, f"{Path(os.path.relpath(file.path, root)).as_posix()}{mark}"))
    names: list[str] = []
    for file, name in sorted(found, key=lambda entry: entry[0].changed, reverse=True):
        if len(names) < MOST and _format(file) == format:
            names.append(name)
    return names


def _files_below(root: str, seen: set[tuple[int, int]]) -> list[_File]:
    files, waiting = [], [root]
    while waiting and len(seen) < MOST_FOLDERS:
        path = waiting.pop(0)
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            known = _folders.get(path)
            if known is None or known.changed != stat.st_mtime_ns:
                known = _read_folder(path, stat.st_mtime_ns)
                if time.time() - stat.st_mtime > _SETTLED:
                    _folders[path] = known
            files += known.files
            waiting += known.folders
    return files


def _read_folder(path: str, changed: int) -> _Folder:
    folders, files = [], []
    for entry in os.scandir(path):
        with contextlib.suppress(OSError):  # a dangling link, a link to itself
            if entry.name.startswith("."):  # hidden, or not written to its end
                continue
            if entry.is_dir():
                folders.append(entry.path)
            elif entry.name.endswith(SUFFIXES) and entry.is_file():
                stat = entry.stat()
                files.append(_File(stat.st_mtime_ns, entry.path, stat.st_size))
    return _Folder(changed, folders, files)


@lru_cache(20_000)
def _format(file: _File) -> str:
    """What it holds, by its header: codes, hidden states, a conversation; FOREIGN for integers that another
    program wrote, "" for anything else."""
    try:
        if file.path.endswith(".npy"):
            return FOREIGN
        format = read_header(file.path)[0].get("format", "")
        return format if format.startswith("miso.") or not integer_arrays(file.path) else FOREIGN
    except (MisoError, OSError):
        return ""
