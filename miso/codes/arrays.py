"""Arrays of integers in files of other programs: .npy and .safetensors. Nothing is unpickled."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from torch import Tensor

from ..errors import MisoError
from ..files import Entry, open_regular, open_tensors, read_header
from ..limits import MAX_IDS

SUFFIXES = (".safetensors", ".npy")
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_LONGEST_WORD = 200  # characters of metadata; longer is no description but a workflow
_INTEGERS = ("U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")


def integer_arrays(path: str | Path) -> dict[str, Entry]:
    """The tensors of a .safetensors file that could be codes: integers of two or three axes."""
    return {
        name: entry
        for name, entry in read_header(path)[1].items()
        if entry.dtype in _INTEGERS and len(entry.shape) in (2, 3)
    }


def read_array(path: str | Path, name: str = "") -> tuple[Tensor, list[str]]:
    """An array of integers, int64, and the words with which the file describes it.

    ``name``: of the tensor in a .safetensors file, which may be left out where only one can be meant.
    Raises MisoError for a file of another kind, larger than codes can be, or damaged.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _read_npy(path), [path.stem]
    metadata, _ = read_header(path)
    found = integer_arrays(path)
    if name and name not in found or not name and len(found) != 1:
        there_are = f"It has {', '.join(sorted(found)[:12])}" if found else "It has none"
        raise MisoError(
            f"Write the name of the tensor with the codes: {path.name} has "
            f"{f'no integers named {name!r}' if name else f'{len(found)} that could be meant'}.",
            f"{there_are}.",
            input="tensor",
        )
    chosen = name or next(iter(found))
    _check_size(path, found[chosen].shape)
    with open_tensors(path) as file:
        tensor = file.get_tensor(chosen).to(torch.int64)
    described = [word for word in (*metadata, *metadata.values()) if len(word) <= _LONGEST_WORD]
    return tensor, [path.stem, chosen, *described]


def _read_npy(path: Path) -> Tensor:
    with open_regular(path) as file:
        start = file.read(len(_NPY))
        if start != _NPY:
            what = "an archive of arrays (.npz)" if start.startswith(_ZIP) else "no .npy file"
            raise MisoError(
                f"{path.name} is {what}.", "Save the codes alone, with numpy.save(FILE, CODES).", input="file"
            )
        file.seek(0)
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
            if dtype.kind in "iu":  # before anything is read: a header can claim any size
                _check_size(path, shape)
                missing = prod(shape) * dtype.itemsize - (os.fstat(file.fileno()).st_size - file.tell())
                if missing:
                    raise ValueError("it is cut short" if missing > 0 else "bytes follow its last number")
            else:
                raise MisoError(
                    f"Codes are integers; {path.name} holds {'objects' if dtype.hasobject else dtype}.",
                    "Export the codes as integers.",
                    input="file",
                )
            file.seek(0)
            array = np.load(file, allow_pickle=False)
        except MisoError:
            raise
        except (
            ValueError,
            SyntaxError,
            TokenError,
            EOFError,
            TypeError,
            MemoryError,
            OSError,
        ) as e:  # numpy's, for headers
            raise MisoError(f"{path.name} can't be read ({e}).", "Save it again.", input="file") from e
    return torch.from_numpy(array.astype(np.int64))


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    if prod(shape) > MAX_IDS:
        raise MisoError(
            f"{path.name} is {list(shape)}, far more than codes can be ({MAX_IDS:,} ids).",
            "Choose the file with the codes.",
            input="file",
        )
