"""Codes: what a take is made of, in the place a latent has in an image workflow. Small, exact, editable, savable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MisoError
from ..files import open_tensors, read_header, write_tensors

FORMAT = "miso.codes/1"
STOPS = ("eos", "limit", "interrupted")


@dataclass(frozen=True)
class Span:
    """Frames start..end-1 of a take say ``text`` in the voice ``speaker``: a segment's place in the codes."""

    start: int
    end: int
    text: str = ""
    speaker: int = 0


@dataclass(frozen=True)
class Take:
    """Where one take comes from: its seed, why it ended, and the segments it is made of."""

    seed: int | None = None
    stop: str | None = None  # one of STOPS, or None where it wasn't sampled (encoded audio, an edit)
    spans: tuple[Span, ...] = ()
    log_probability: float | None = (
        None  # mean over its sampled frames of the model's own for codebook 0 (natural, temperature 1)
    )


@dataclass(frozen=True, eq=False)
class Codes:
    """B takes of K codebooks over T frames. Never changed in place: every operation gives a new one.

    ``tensor`` [B, K, T] integer ids on the CPU, ``lengths`` [B] frames of each take (what lies beyond is 0), ``codec`` the id of
    the codec they belong to (shape can't tell), ``source`` what made them (model fingerprint, sampling), for provenance.
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
                f"Codes must be integers of the shape [takes, codebooks, frames]; these are {x.dtype} {list(x.shape)}."
            )
        if x.shape[0] < 1 or x.shape[1] < 1:
            raise MisoError(f"Codes need at least one take and one codebook; their shape is {list(x.shape)}.")
        lengths = torch.as_tensor(self.lengths, dtype=torch.int64).cpu()
        if lengths.shape != x.shape[:1] or ((lengths < 0) | (lengths > x.shape[2])).any():
            raise MisoError(
                f"Codes of {x.shape[0]} takes and {x.shape[2]} frames can't have the lengths {lengths.tolist()}."
            )
        takes = tuple(self.takes) or tuple(Take() for _ in range(x.shape[0]))
        if len(takes) != x.shape[0]:
            raise MisoError(f"Codes of {x.shape[0]} takes come with the provenance of {len(takes)}.")
        inside = torch.arange(x.shape[2]) < lengths[:, None, None]
        tensor = x.detach().to("cpu", torch.int64).masked_fill(~inside, 0)
        bad = ((tensor < 0) | (tensor >= self.codebook_size)).nonzero()
        if len(bad):
            b, k, t = bad[0].tolist()
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
        return [n / self.frame_rate for n in self.lengths.tolist()]

    def like(
        self, tensor: Tensor, lengths: Tensor | None = None, takes: Sequence[Take] | None = None
    ) -> Codes:
        """The same codec and source with other codes; all frames count unless ``lengths`` says otherwise."""
        if lengths is None:
            lengths = torch.full((tensor.shape[0],), tensor.shape[2])
        if takes is None:
            takes = self.takes if tensor.shape[0] == self.batch else ()
        return replace(self, tensor=tensor, lengths=lengths, takes=tuple(takes))

    def take(self, index: int) -> Codes:
        """One take alone, cut to its length. Negative indices count from the end."""
        if not -self.batch <= index < self.batch:
            raise MisoError(
                f"There is no take {index}: these codes hold {self.batch} (0 to {self.batch - 1}).",
                input="take",
            )
        index %= self.batch
        return self.like(
            self.tensor[index : index + 1, :, : int(self.lengths[index])], takes=[self.takes[index]]
        )

    def check_same_codec(self, other: Codes, what: str) -> None:
        """Refuse to mix codes whose ids, rates or codebook counts don't mean the same."""
        for name, mine, theirs in (
            ("codec", self.codec, other.codec),
            ("frame rate", self.frame_rate, other.frame_rate),
            ("number of codebooks", self.codebooks, other.codebooks),
        ):
            if mine != theirs:
                raise MisoError(
                    f"{what} has the {name} {theirs}, the first codes have {mine}: they can't be mixed.",
                    "Use codes of one codec and one number of codebooks (Keep Codebooks evens the count).",
                )

    def save(self, path: str | Path, extra: Mapping[str, str] | None = None) -> None:
        """Write a .safetensors file. ``extra`` metadata (ComfyUI's ``workflow`` and ``prompt``) lets a dropped file restore its graph."""
        about = {
            "codec": self.codec,
            "frame_rate": self.frame_rate,
            "codebook_size": self.codebook_size,
            "takes": [asdict(t) for t in self.takes],
            "source": dict(self.source),
        }
        dtype = torch.int16 if self.codebook_size <= 2**15 else torch.int32
        write_tensors(
            path,
            {"codes": self.tensor.to(dtype), "lengths": self.lengths.to(torch.int32)},
            {**(extra or {}), "format": FORMAT, "about": json.dumps(about)},
        )

    def digest(self) -> str:
        """SHA-256 of everything these codes hold, provenance included, as 64 hexadecimal digits."""
        about = [
            self.codec,
            self.frame_rate,
            self.codebook_size,
            self.lengths.tolist(),
            [asdict(t) for t in self.takes],
            dict(self.source),
        ]
        return tensor_digest(self.tensor, json.dumps(about, sort_keys=True))

    @staticmethod
    def load(path: str | Path) -> Codes:
        """Read a file written by ``save``."""
        metadata, entries = read_header(path)
        if metadata.get("format") != FORMAT or not {"codes", "lengths"} <= entries.keys():
            raise MisoError(
                f"{Path(path).name} holds no Miso codes.", "`python -m miso info FILE` says what a file is."
            )
        try:
            about = json.loads(metadata["about"])
            takes = tuple(
                Take(t["seed"], t["stop"], tuple(Span(**s) for s in t["spans"]), t.get("log_probability"))
                for t in about["takes"]
            )
            with open_tensors(path) as file:
                return Codes(
                    file.get_tensor("codes"),
                    file.get_tensor("lengths"),
                    about["codec"],
                    about["frame_rate"],
                    about["codebook_size"],
                    takes,
                    about["source"],
                )
        except (KeyError, TypeError, json.JSONDecodeError) as e:
            raise MisoError(
                f"The codes in {Path(path).name} are damaged ({type(e).__name__}: {e}).", "Save them again."
            ) from e


def tensor_digest(tensor: Tensor, about: str = "") -> str:
    """SHA-256 of a tensor's shape, dtype and content, and of ``about``."""
    digest = hashlib.sha256(f"{list(tensor.shape)} {tensor.dtype} {about}".encode())
    digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def as_takes(parts: Sequence[Codes]) -> Codes:
    """Codes of one codec as the takes of one container, shorter ones filled with 0 beyond their length."""
    first = parts[0]
    for i, part in enumerate(parts[1:], 2):
        first.check_same_codec(part, f"Number {i}")
    frames = max(p.frames for p in parts)
    tensor = torch.cat([torch.nn.functional.pad(p.tensor, (0, frames - p.frames)) for p in parts])
    return first.like(tensor, torch.cat([p.lengths for p in parts]), [t for p in parts for t in p.takes])


def join_spans(*groups: tuple[Span, ...]) -> tuple[Span, ...]:
    """Spans in a row. Neighbours that say one thing become one again, so that cutting and joining gives back the original."""
    out: list[Span] = []
    for span in (s for group in groups for s in group):
        if out and (out[-1].end, out[-1].text, out[-1].speaker) == (span.start, span.text, span.speaker):
            out[-1] = replace(out[-1], end=span.end)
        else:
            out.append(span)
    return tuple(out)
