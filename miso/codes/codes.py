"""Codes: the container that has the role of a latent in image workflows. Small, exact, editable, savable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MisoError
from ..files import open_tensors, read_header, tensor_bytes, write_tensors

FORMAT = "miso.codes/1"
STOPS = ("eos", "limit", "interrupted")


@dataclass(frozen=True)
class Span:
    """The frames of a segment: frames start..end-1 of a take say ``text`` in the voice of ``speaker``."""

    start: int
    end: int
    text: str = ""
    speaker: int = 0


@dataclass(frozen=True)
class Take:
    """The provenance of one take: its seed, why it ended, and the segments it consists of."""

    seed: int | None = None
    stop: str | None = None  # one of STOPS; None if the take was encoded or edited
    spans: tuple[Span, ...] = ()
    # the model's log probability (natural logarithm, temperature 1) of codebook 0, mean over the sampled
    # frames
    log_probability: float | None = None


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
        if len(takes) != x.shape[0]:
            raise MisoError(f"Codes of {x.shape[0]} takes have the provenance of {len(takes)} takes.")
        inside = torch.arange(x.shape[2]) < lengths[:, None, None]
        tensor = x.detach().to("cpu", torch.int64).masked_fill(~inside, 0)
        invalid = ((tensor < 0) | (tensor >= self.codebook_size)).nonzero()
        if len(invalid):
            b, k, t = invalid[0].tolist()
            raise MisoError(
                f"Take {b}, codebook {k}, frame {t} holds the id {int(tensor[b, k, t])}; "
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
        """One take alone, cut to its length. Negative indices count from the end. Raises MisoError if there
        is none.
        """
        if not -self.batch <= index < self.batch:
            raise MisoError(
                f"There is no take {index}: these codes have {self.batch} (0 to {self.batch - 1}).",
                input="take",
            )
        index %= self.batch
        tensor = self.tensor[index : index + 1, :, : int(self.lengths[index])]
        return self.like(tensor, takes=[self.takes[index]])

    def check_same_codec(self, other: Codes, what: str) -> None:
        """Raise MisoError if codec, frame rate or number of codebooks differ; ``what`` names the others."""
        for name, mine, theirs in (
            ("codec", self.codec, other.codec),
            ("frame rate", self.frame_rate, other.frame_rate),
            ("number of codebooks", self.codebooks, other.codebooks),
        ):
            if mine != theirs:
                raise MisoError(
                    f"{what} has the {name} {theirs}, the first codes have {mine}: they can't be mixed.",
                    "Use codes of one codec with the same number of codebooks (Keep Codebooks reduces it).",
                )

    def save(self, path: str | Path, extra: Mapping[str, str] | None = None) -> None:
        """Write a .safetensors file.

        With ComfyUI's ``workflow`` and ``prompt`` as ``extra`` metadata, dropping the file on the graph
        restores it.
        """
        about = {
            "codec": self.codec,
            "frame_rate": self.frame_rate,
            "codebook_size": self.codebook_size,
            "takes": [asdict(take) for take in self.takes],
            "source": dict(self.source),
        }
        dtype = torch.int16 if self.codebook_size <= 2**15 else torch.int32
        write_tensors(
            path,
            {"codes": self.tensor.to(dtype), "lengths": self.lengths.to(torch.int32)},
            {**(extra or {}), "format": FORMAT, "about": json.dumps(about)},
        )

    def digest(self) -> str:
        """SHA-256 of these codes, provenance included, as 64 hexadecimal digits."""
        about = [
            self.codec,
            self.frame_rate,
            self.codebook_size,
            self.lengths.tolist(),
            [asdict(take) for take in self.takes],
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
        try:
            about = json.loads(metadata["about"])
            with open_tensors(path) as file:
                return Codes(
                    tensor=file.get_tensor("codes"),
                    lengths=file.get_tensor("lengths"),
                    codec=about["codec"],
                    frame_rate=about["frame_rate"],
                    codebook_size=about["codebook_size"],
                    takes=tuple(map(_take_from_json, about["takes"])),
                    source=about["source"],
                )
        except (KeyError, TypeError, json.JSONDecodeError) as e:
            raise MisoError(
                f"The codes in {Path(path).name} are damaged ({type(e).__name__}: {e}).", "Save them again."
            ) from e


def _take_from_json(take: dict) -> Take:
    spans = tuple(Span(**span) for span in take["spans"])
    return Take(take["seed"], take["stop"], spans, take.get("log_probability"))


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


def join_spans(*groups: tuple[Span, ...]) -> tuple[Span, ...]:
    """Concatenate spans. Adjacent spans of the same text and speaker are merged, so that joining undoes
    cutting.
    """
    joined: list[Span] = []
    for span in chain(*groups):
        last = joined[-1] if joined else None
        if last and (last.end, last.text, last.speaker) == (span.start, span.text, span.speaker):
            joined[-1] = replace(last, end=span.end)
        else:
            joined.append(span)
    return tuple(joined)
