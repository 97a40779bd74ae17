"""Files: safetensors and JSON, validated before use, written completely or not at all.

Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import MisoError
from .limits import MAX_HEADER, MAX_JSON, MAX_TEXT
from .progress import Progress

if TYPE_CHECKING:
    import torch
    from safetensors import safe_open

_PIECE = 2**20  # bytes that are hashed at once
_MOST_NAME = 100  # characters of a file's name, without its suffix
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch archives, bare pickles
# in the name of a file, on one system or another
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|^\.|[. ]$')
_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2}
_BYTES |= {"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}  # of an element, by safetensors' names


def can_be_file(name: str) -> bool:
    """Whether a file can have this name on every system, alone and without a folder."""
    return 0 < len(name) <= _MOST_NAME and not _NOT_IN_NAMES.search(name)


def cache_folder() -> Path:
    """Where to remember what can be found out again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miso"


class Entry(NamedTuple):
    """One tensor in a safetensors header; ``start`` and ``end`` are positions of its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def parse_json(text: str | bytes, what: str) -> Any:
    """The value of a JSON text.

    ``what`` names it in the MisoError that invalid or too deeply nested JSON raises.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        problem = "nested too deeply" if isinstance(e, RecursionError) else str(e)
        raise MisoError(f"{what} is not valid JSON ({problem}).", "Write it again, or restore a copy.") from e


def read_json(path: str | os.PathLike) -> Any:
    """The value of a JSON file. Raises MisoError if it can't be read, is too large or is not valid JSON."""
    path = Path(path)
    with open_regular(path) as file:
        text = file.read(MAX_JSON + 1)
    if len(text) > MAX_JSON:
        raise MisoError(
            f"{path.name} is too large for JSON that Miso reads (over {MAX_JSON / 2**20:.0f} MB)."
        )
    return parse_json(text, path.name)


def read_text(path: str | os.PathLike, remedy: str = "Save it as text in UTF-8.") -> str:
    """A text file in UTF-8, with or without a byte order mark; ends of lines stay as they are.

    It may be a pipe. Raises MisoError if it can't be read or is too large; ``remedy`` is what to do about
    another encoding.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_TEXT + 1)
    except (OSError, ValueError) as e:  # ValueError: a name with NUL, or half a character
        why = getattr(e, "strerror", None) or e
        raise MisoError(f"{path} can't be read: {why}.", "Check the path and its permissions.") from e
    if len(content) > MAX_TEXT:
        raise MisoError(f"{path} is too large: over {MAX_TEXT / 2**20:.0f} MB.", "Cut it into several files.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise MisoError(f"{path} can't be read as UTF-8: {e.reason} at byte {e.start}.", remedy) from e


def read_header(path: str | os.PathLike) -> tuple[dict[str, str], dict[str, Entry]]:
    """Metadata and tensor entries of a safetensors file, from its header alone (no torch, no data is read).

    The whole header is checked: types, sizes against shapes, and that the tensors fill the file without gaps
    or overlaps. Raises MisoError for anything else, whatever the file's name: pickles are named as such, and
    for a truncated file the message gives the missing length.
    """
    path = Path(path)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        text = file.read(length) if 2 <= length <= min(MAX_HEADER, size - 8) else b""
    try:
        metadata, entries = _parse_header(text, 8 + length)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
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
    end = max((e.end for e in entries.values()), default=8 + length)
    if size < end:
        raise MisoError(f"{path.name} is cut short: {size:,} bytes of {end:,}.", "Download it again.")
    if size > end:
        raise MisoError(f"{path.name} has {size - end:,} bytes after its last tensor.", "Download it again.")
    return metadata, entries


def _parse_header(text: bytes, data: int) -> tuple[dict[str, str], dict[str, Entry]]:
    """Parse and check a header; ``data`` is where the tensors begin. Raises what ``read_header`` catches."""
    header = json.loads(text.decode())
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("metadata that is not text")
    entries = {}
    for name, entry in header.items():
        dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        # bool is an int to Python
        if not isinstance(dtype, str) or any(type(n) is not int or n < 0 for n in (*shape, start, end)):
            raise TypeError(f"the entry of {name}")
        if dtype not in _BYTES or end - start != prod(shape) * _BYTES[dtype]:
            raise ValueError(f"the size of {name}")
        entries[name] = Entry(dtype, shape, data + start, data + end)
    position = data
    for _, _, start, end in sorted(entries.values(), key=lambda e: (e.start, e.end)):
        if start != position:
            raise ValueError("tensors that overlap or leave a gap")
        position = end
    return metadata, entries


@contextlib.contextmanager
def open_tensors(path: str | os.PathLike, device: str = "cpu") -> Iterator[safe_open]:
    """Memory-map a safetensors file after checking its header; yields what ``safetensors.safe_open`` does.

    The one place where files of tensors are opened. Raises MisoError for a file that can't be read.
    """
    read_header(path)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="pt", device=device) as file:
            yield file
    except SafetensorError as e:
        raise MisoError(f"{Path(path).name} can't be read ({e}).", "Download or save it again.") from e


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[Any]:
    """A regular file, open for reading bytes. A FIFO would wait for ever, a device may never end."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except ValueError:  # a name with NUL, or half a character
        regular = False
    except OSError as e:
        raise MisoError(f"{path} can't be read: {e.strerror or e}.", "Check the path.") from e
    if not regular:
        raise MisoError(f"{path} is not a file.", "Choose a file.")
    try:
        with path.open("rb") as file:
            yield file
    except OSError as e:
        raise MisoError(
            f"{path} can't be read: {e.strerror or e}.", "Check the path and its permissions."
        ) from e


def file_digest(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file, or of all files of a folder. ``progress(bytes done, in all)`` may raise."""
    digest = hashlib.sha256()
    if path.is_dir():
        for part in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{part.relative_to(path).as_posix()} {file_digest(part, progress)}".encode())
        return digest.hexdigest()
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        while piece := file.read(_PIECE):
            digest.update(piece)
            if progress:
                progress(file.tell(), size)
    return digest.hexdigest()


def is_name(name: object) -> bool:
    """Whether it names a file in one folder: no path, no NUL, nothing that isn't text."""
    if not isinstance(name, str) or "\0" in name or "\\" in name or name in ("", ".", ".."):
        return False
    return Path(name).name == name and name.encode("utf-8", "ignore").decode() == name


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes its name if the block succeeds, otherwise it is
    deleted.

    Raises MisoError if ``path`` can't be written, also from within the block (a full disk), and if it is a
    device or a folder. A link is replaced, not followed.
    """
    path = Path(path)
    try:
        temporary = None
        if not path.exists() or path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = _create_beside(path)
    except (OSError, ValueError) as e:  # ValueError: a name with NUL, or half a character
        raise _cannot_write(path, e) from e
    if temporary is None:
        raise MisoError(f"{path} is not a file, so it is not replaced.", "Choose another name.")
    try:
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # a library may have put a private file of its own there, as safetensors does
        os.replace(temporary, path)
    except OSError as e:
        raise _cannot_write(path, e) from e
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _create_beside(path: Path) -> Path:
    """A new empty file in the folder of ``path``, with the permissions of an ordinary one (mkstemp's are
    private)."""
    while True:
        # keep the suffix: encoders choose the container by it
        name = f".{path.stem[:80]}.{secrets.token_hex(8)}{path.suffix}"
        try:
            with (temporary := path.with_name(name)).open("xb"):
                return temporary
        except FileExistsError:
            continue


def _cannot_write(path: Path, error: Exception) -> MisoError:
    why = getattr(error, "strerror", None) or error
    return MisoError(f"{path} can't be written: {why}.", "Choose another place, or free some space.")


def write_tensors(
    path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; if writing fails, a file already at ``path`` stays unchanged.

    Raises MisoError if it can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {name: t.contiguous() for name, t in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=dict(metadata))
        except SafetensorError as e:  # not an OSError, though a full disk causes it
            raise MisoError(
                f"{path} can't be written ({e}).", "Free some space, or choose another place."
            ) from e


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The content of a CPU tensor of one or more dimensions as bytes; copied only if it is not contiguous."""
    import torch

    return tensor.contiguous().view(torch.uint8).numpy().data
