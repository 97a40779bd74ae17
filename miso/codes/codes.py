"""Codes: the container that has the role of a latent in image workflows. Small, exact, editable, savable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MisoError
from ..files import open_tensors, parse_json, read_header, tensor_bytes, write_tensors
from ..limits import (
    MAX_CODEBOOK_SIZE,
    MAX_FRAME_RATE,
    MAX_IDS,
    MIN_FRAME_RATE,
    is_int,
    is_number,
)
from .retired import other_codec
from .takes import Take, take_from_json, take_to_json

FORMAT = "miso.codes/1"


@dataclass(frozen=True, eq=False)
class Codes:
    """B takes of K codebooks and up to T frames. Immutable: every operation returns new codes.

    - ``tensor`` [B, K, T]: integer ids on the CPU, 0 beyond the end of a take.
    - ``lengths`` [B]: frames of each take.
    - ``codec``: id of the codec that they belong to, which the shape does not show.
    - ``frame_rate``: frames per second.
    - ``codebook_size``: ids are less than this.
    - ``takes``: provenance of each take.
    - ``source``: what made the codes (model fingerprint, sampling).

    Raises MisoError if these don't fit together.
    """

    tensor: Tensor
    lengths: Tensor
    codec: str
    frame_rate: float = 12.5
    codebook_size: int = 2048
    takes: tuple[Take, ...] = ()
    source: Mapping = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.codec, str) or not self.codec:
            raise MisoError(f"The codec of codes must be its id, not {self.codec!r}.")
        if not is_number(self.frame_rate, MIN_FRAME_RATE, MAX_FRAME_RATE):
            raise MisoError(f"Codes can't have {self.frame_rate!r} frames per second.")
        if not is_int(self.codebook_size, 1, MAX_CODEBOOK_SIZE):
            raise MisoError(f"Codebooks can't have {self.codebook_size!r} entries.")
        if not isinstance(self.source, Mapping):
            raise MisoError("The source of codes must be a mapping.")
        x = self.tensor
        if x.dim() != 3 or x.is_floating_point() or x.dtype == torch.bool:
            raise MisoError(
                "Codes must be integers of the shape [takes, codebooks, frames]; "
                f"these are {x.dtype} {list(x.shape)}."
            )
        if x.shape[0] < 1 or x.shape[1] < 1:
            raise MisoError(f"Codes need at least one take and one codebook; their shape is {list(x.shape)}.")
        lengths = torch.as_tensor(self.lengths, dtype=torch.int64).cpu()
        if lengths.shape != x.shape[:1] or ((lengths < 0) | (lengths > x.shape[2])).any():
            raise MisoError(
                f"Codes of {x.shape[0]} takes and {x.shape[2]} frames can't have lengths {lengths.tolist()}."
            )
        takes = tuple(self.takes) or tuple(Take() for _ in range(x.shape[0]))
        if not all(isinstance(take, Take) for take in takes):
            raise MisoError("The takes of codes must be takes.")
        if len(takes) != x.shape[0]:
            raise MisoError(f"Codes of {x.shape[0]} takes have the provenance of {len(takes)} takes.")
        inside = torch.arange(x.shape[2]) < lengths[:, None, None]
        tensor = x.detach().to("cpu", torch.int64).masked_fill(~inside, 0)
        invalid = (tensor < 0) | (tensor >= self.codebook_size)
        if invalid.any():
            # the first alone: a list of all would take more memory than the codes
            b, rest = divmod(int(invalid.flatten().to(torch.uint8).argmax()), x.shape[1] * x.shape[2])
            k, t = divmod(rest, x.shape[2])
            raise MisoError(
                f"Take {b + 1}, codebook {k}, frame {t} holds the id {int(tensor[b, k, t])}; "
                f"ids of '{self.codec}' are 0 to {self.codebook_size - 1}."
            )
        for name, value in (("tensor", tensor), ("lengths", lengths), ("takes", takes)):
            object.__setattr__(self, name, value)

    @property
    def batch(self) -> int:
        return self.tensor.shape[0]

    @property
    def codebooks(self) -> int:
        return self.tensor.shape[1]

    @property
    def frames(self) -> int:
        """Frames of the longest take."""
        return self.tensor.shape[2]

    @property
    def seconds(self) -> list[float]:
        """Duration of each take."""
        return [length / self.frame_rate for length in self.lengths.tolist()]

    def like(
        self, tensor: Tensor, lengths: Tensor | None = None, takes: Sequence[Take] | None = None
    ) -> Codes:
        """Other ids with the same codec and source. ``lengths`` defaults to all frames of ``tensor``.

        ``takes`` defaults to the provenance of these codes if their number of takes is the same.
        """
        if lengths is None:
            lengths = torch.full((tensor.shape[0],), tensor.shape[2])
        if takes is None:
            takes = self.takes if tensor.shape[0] == self.batch else ()
        return replace(self, tensor=tensor, lengths=lengths, takes=tuple(takes))

    def take(self, index: int) -> Codes:
        """One take alone, cut to its length; negative indices count from the end.

        Indices count from 0. The error for one beyond the takes counts from 1, as people do.
        """
        if not -self.batch <= index < self.batch:
            raise no_take(index, self.batch)
        index %= self.batch
        tensor = self.tensor[index : index + 1, :, : int(self.lengths[index])]
        return self.like(tensor, takes=[self.takes[index]])

    def check_same_codec(self, other: Codes, what: str, input: str | None = None) -> None:
        """Raise MisoError if codec, frame rate or number of codebooks differ; ``what`` names the others."""
        for name, mine, theirs in (
            ("codec", self.codec, other.codec),
            ("frame rate", self.frame_rate, other.frame_rate),
            ("number of codebooks", self.codebooks, other.codebooks),
        ):
            if mine != theirs:
                remedy = (
                    "Put Keep Codebooks before the one that has more"
                    if name == "number of codebooks"
                    else "Connect codes of one codec"
                )
                told = (f"{remedy}: {what} has the {name} {theirs}, the first codes have {mine}.", "")
                if name == "codec":
                    told = other_codec(self.codec, f"{what} has '{theirs}'", *told)
                    told = other_codec(other.codec, f"the first codes have '{mine}'", *told)
                raise MisoError(*told, input=input)

    def packed(self) -> Tensor:
        """The tensor [B, K, T] in the smallest type that files have."""
        return self.tensor.to(torch.int16 if self.codebook_size <= 2**15 else torch.int32)

    def save(self, path: str | Path, extra: Mapping[str, str] | None = None) -> None:
        """Write a .safetensors file.

        With ComfyUI's ``workflow`` and ``prompt`` as ``extra`` metadata, dropping the file on the graph
        restores it.
        """
        about = {
            "codec": self.codec,
            "frame_rate": self.frame_rate,
            "codebook_size": self.codebook_size,
            "takes": [take_to_json(take) for take in self.takes],
            "source": dict(self.source),
        }
        write_tensors(
            path,
            {"codes": self.packed(), "lengths": self.lengths.to(torch.int32)},
            {**(extra or {}), "format": FORMAT, "about": json.dumps(about)},
        )

    def digest(self) -> str:
        """SHA-256 of these codes, provenance included, as 64 hexadecimal digits."""
        about = [
            self.codec,
            self.frame_rate,
            self.codebook_size,
            self.lengths.tolist(),
            [take_to_json(take) for take in self.takes],
            dict(self.source),
        ]
        return tensor_digest(self.tensor, json.dumps(about, sort_keys=True))

    @staticmethod
    def load(path: str | Path) -> Codes:
        """Read a file written by ``save``. Raises MisoError for any other file and for a damaged one."""
        metadata, entries = read_header(path)
        if metadata.get("format") != FORMAT or not {"codes", "lengths"} <= entries.keys():
            raise MisoError(
                f"{Path(path).name} does not contain Miso codes.",
                "`python -m miso info FILE` describes a file.",
            )
        for name, dimensions in (("codes", 3), ("lengths", 1)):
            dtype, shape, *_ = entries[name]
            if dtype not in ("I16", "I32", "I64") or len(shape) != dimensions or prod(shape) > MAX_IDS:
                raise MisoError(
                    f"The codes in {Path(path).name} are damaged ({name}: {dtype} {list(shape)}).",
                    "Save them again.",
                )
        try:
            about = parse_json(metadata["about"], "The description")
            takes = tuple(map(take_from_json, about["takes"]))
            if not takes:  # which would stand for unknown provenance
                raise MisoError("It describes no take.")
            with open_tensors(path) as file:
                return Codes(
                    tensor=file.get_tensor("codes"),
                    lengths=file.get_tensor("lengths"),
                    codec=about["codec"],
                    frame_rate=about["frame_rate"],
                    codebook_size=about["codebook_size"],
                    takes=takes,
                    source=about["source"],
                )
        except (KeyError, TypeError, MisoError) as e:
            problem = e.problem if isinstance(e, MisoError) else f"{type(e).__name__}: {e}"
            raise MisoError(
                f"The codes in {Path(path).name} are damaged ({problem}).", "Save them again."
            ) from e


def no_take(index: int, takes: int, input: str = "take") -> MisoError:
    """The error for a take of this index, from 0, among ``takes``: in numbers from 1, as people count."""
    number = f"{index + 1}" if index >= 0 else f"{index}"
    there_are = f"there {'is only 1' if takes == 1 else f'are {takes}'}"
    return MisoError(f"There is no take {number}; {there_are}.", "Choose another.", input=input)


def tensor_digest(tensor: Tensor, about: str = "") -> str:
    """SHA-256 of a tensor's shape, dtype and content, and of ``about``."""
    digest = hashlib.sha256(f"{list(tensor.shape)} {tensor.dtype} {about}".encode())
    digest.update(tensor_bytes(tensor.detach().cpu().flatten()))
    return digest.hexdigest()


def as_takes(parts: Sequence[Codes]) -> Codes:
    """Combine codes of one codec into one container that has all their takes, padded with 0 to the longest.

    Codec and source are those of the first. Raises MisoError if the codecs differ.
    """
    first = parts[0]
    for i, part in enumerate(parts[1:], 2):
        first.check_same_codec(part, f"Number {i}")
    frames = max(part.frames for part in parts)
    tensor = torch.cat([F.pad(part.tensor, (0, frames - part.frames)) for part in parts])
    lengths = torch.cat([part.lengths for part in parts])
    return first.like(tensor, lengths, [take for part in parts for take in part.takes])
