"""Checkpoints: opened by reading headers only, loaded on demand one memory-mapped tensor at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MisoError
from ..files import Entry, open_tensors, read_header, write_tensors
from ..model.config import ModelConfig
from ..model.networks import Backbone, DepthDecoder
from ..progress import Progress
from ..text.conditioning import TextEncoder
from ..text.tokenizer import find_tokenizer
from .build import build, canonical_shapes
from .devices import Precision
from .fingerprint import fingerprint
from .layouts import detect, ignored
from .quantize import BY_CHANNEL, TYPES, Quantized, dequantized, field_name, field_specs
from .shards import shards
from .sizes import heads_in_config_json, infer_config

FORMAT = "miso.model/1"
SAFETENSORS_TYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.float8_e4m3fn: "F8_E4M3",
}
_FLOATS = {"F64", "F32", "F16", "BF16"}
_QUANTIZED = {SAFETENSORS_TYPES[dtype]: kind for kind, dtype in TYPES.items()}  # type of a weight -> its kind
_MAX_PROBLEMS = 12  # listed in one error
_COMPARED = 1000  # rows of a tensor that is in the file twice


class Checkpoint:
    """The files of a model, checked by their headers: no tensor missing or unknown, each of the right shape.

    ``path`` is a .safetensors file, one of several shards, their index, or a folder of these. Raises
    MisoError if the files can't be read or are not a complete model of this family. ``progress`` is that of
    reading all files for the ``fingerprint``.
    """

    def __init__(self, path: str | Path, progress: Progress | None = None):
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        self.entries: dict[str, Entry] = {}
        self._files: dict[str, Path] = {}  # tensor name -> the file that contains it
        for file in shards(self.path):
            metadata, entries = read_header(file)
            self.metadata.update(metadata)
            self.entries.update(entries)
            self._files.update(dict.fromkeys(entries, file))
        self.layout = detect(self.entries, self.path.name)
        self.config = self._read_config()
        self._names = self._match_names()  # canonical name -> name in the file
        self._check_shared()
        self._progress = progress

    @cached_property
    def fingerprint(self) -> str:
        """A hash of config and weights. The first time, this reads all files."""
        return fingerprint(self.config.to_json(), self.entries, self._files, self.sources, self._progress)

    def fingerprint_of(self, network: type[Backbone] | type[DepthDecoder]) -> str:
        """The fingerprint that the network gets: that of the whole checkpoint."""
        return self.fingerprint

    def load_backbone(
        self,
        device: str | torch.device = "cpu",
        precision: Precision = Precision(),
        progress: Progress | None = None,
        on_cpu: int = 0,
    ) -> Backbone:
        """Load the backbone. The last ``on_cpu`` of its layers stay in the CPU's memory (see ``offload``)."""
        return build(
            Backbone,
            self.config,
            self.fingerprint_of(Backbone),
            self.read,
            device=device,
            precision=precision,
            progress=progress,
            on_cpu=on_cpu,
        )

    def load_depth(
        self,
        device: str | torch.device = "cpu",
        precision: Precision = Precision(),
        progress: Progress | None = None,
    ) -> DepthDecoder:
        """Load the depth decoder."""
        return build(
            DepthDecoder,
            self.config,
            self.fingerprint_of(DepthDecoder),
            self.read,
            device=device,
            precision=precision,
            progress=progress,
        )

    def text_encoder(self, tokenizers: Iterable[str | Path] = ()) -> TextEncoder:
        """The text encoder; ``tokenizers`` are further paths where a tokenizer.json may be."""
        return TextEncoder(
            self.config, find_tokenizer(self.config.conventions.tokenizer, self.folder, tokenizers)
        )

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def sources(self) -> list[Path]:
        """All files that were read, and config.json even if it does not exist, because it would be read."""
        return list(dict.fromkeys([self.path, *self._files.values(), self.folder / "config.json"]))

    def read(self, canonical: str) -> Tensor | Quantized:
        """Read a tensor by its published name, as stored except for the order of the rows of q and k."""
        name = self._names[canonical]
        kind = _QUANTIZED.get(self.entries[name].dtype)
        # map the file anew for each tensor: a mapping that stays open keeps its pages in memory
        with open_tensors(self._files[name]) as file:
            if kind:
                fields = field_specs(kind, (1, 1))
                return Quantized(**{field: file.get_tensor(field_name(name, field)) for field in fields})
            stack = self.config.depth if canonical.startswith("decoder.") else self.config.backbone
            return self.layout.convert(canonical, file.get_tensor(name), stack.head_dim)

    def tensor(self, canonical: str) -> Tensor:
        """Read a tensor by its published name, dequantised to fp32 if it is quantised."""
        return dequantized(self.read(canonical))

    def pieces(self, canonical: str, numbers: int) -> Iterator[Tensor | Quantized]:
        """Like ``read``, in pieces of as many rows as contain about ``numbers`` numbers.

        The file is closed between pieces, so that no memory stays in use.
        """
        name = self._names[canonical]
        shape, quantized = self.entries[name].shape, self.entries[name].dtype in _QUANTIZED
        rows = max(1, numbers * shape[0] // max(1, torch.Size(shape).numel()))
        # rows of q and k that are reordered, and quantised matrices, are small enough to be read at once
        if rows >= shape[0] or quantized or self.layout.half_rotation:
            yield self.read(canonical)
            return
        for start in range(0, shape[0], rows):
            with open_tensors(self._files[name]) as file:
                yield file.get_slice(name)[start : start + rows]

    @property
    def weights(self) -> str:
        """How the file's matrices are quantised: int8, fp8, int4 (some of them int8), or "" (not at all)."""
        kinds = (_QUANTIZED.get(entry.dtype, "") for entry in self.entries.values())
        return max(kinds, key=["", *TYPES].index)

    def _read_config(self) -> ModelConfig:
        if "config" in self.metadata:
            return ModelConfig.from_json(self.metadata["config"])
        heads = heads_in_config_json(self.folder) if self.layout.name == "transformers" else None
        return infer_config(self._shape, heads, self.path.name)

    def _shape(self, canonical: str) -> tuple[int, ...] | None:
        names = self.layout.sources(canonical)
        return next((self.entries[name].shape for name in names if name in self.entries), None)

    def _match_names(self) -> dict[str, str]:
        """The name in the file of every tensor of the model. Raises one MisoError that lists all problems."""
        names: dict[str, str] = {}
        problems: list[str] = []
        for canonical, shape in canonical_shapes(self.config).items():
            sources = self.layout.sources(canonical)
            name = next((name for name in sources if name in self.entries), None)
            if name is None:
                problems.append(f"missing {sources[0]} {list(shape)}")
            elif self._is_quantized(name, shape):
                names[canonical] = name
            elif self.entries[name].shape != shape:
                problems.append(f"{name} is {list(self.entries[name].shape)}, not {list(shape)}")
            elif self.entries[name].dtype not in _FLOATS:
                problems.append(f"{name} is of the type {self.entries[name].dtype}")
            else:
                names[canonical] = name
        problems += self._unknown_tensors(names, problems)
        if problems:
            listed = "; ".join(problems[:_MAX_PROBLEMS])
            if len(problems) > _MAX_PROBLEMS:
                listed += f"; and {len(problems) - _MAX_PROBLEMS} more"
            raise MisoError(
                f"The tensors of {self.path.name} don't fit its sizes ({self.layout.name} layout): {listed}.",
                "The file belongs to another model, or was cut or changed; download it again.",
            )
        return names

    def _check_shared(self) -> None:
        """Raise MisoError if a tensor that the networks share is in the file twice, with other values.

        transformers 5.20 didn't tie the audio embeddings of a new model, so training made two of them.
        """
        for canonical in self._names:
            names = [name for name in self.layout.sources(canonical) if name in self.entries]
            rows = [self._first_rows(name) for name in names] if len(names) > 1 else []
            if any(not torch.equal(rows[0], other) for other in rows):
                raise MisoError(
                    f"{self.path.name} has audio embeddings of its own for the depth decoder; models of this "
                    "family have the same for both networks.",
                    "Fine-tune it again with both tied, which the newest transformers does.",
                    input="checkpoint",
                )

    def _first_rows(self, name: str) -> Tensor:
        with open_tensors(self._files[name]) as file:
            return file.get_slice(name)[:_COMPARED]

    def _unknown_tensors(self, names: dict[str, str], problems: list[str]) -> list[str]:
        """The tensors of the file that are not part of the model and not mentioned in ``problems``."""
        known = {source for canonical in names for source in self.layout.sources(canonical)}
        for name in names.values():
            if kind := _QUANTIZED.get(self.entries[name].dtype):
                known |= {field_name(name, field) for field in field_specs(kind, (1, 1))}
        mentioned = {word for problem in problems for word in problem.split()}
        return [
            f"unknown {name} {list(entry.shape)}"
            for name, entry in self.entries.items()
            if name not in known and name not in mentioned and not ignored(name)
        ]

    def _is_quantized(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether the tensor is a quantised matrix of that shape, with all its fields."""
        kind = _QUANTIZED.get(self.entries[name].dtype)
        if kind is None or self.layout.name != "published" or len(shape) != 2:
            return False

        def has_fields(kind: str) -> bool:
            for field, (dtype, field_shape) in field_specs(kind, shape).items():
                entry = self.entries.get(field_name(name, field))
                if entry is None or (entry.dtype, entry.shape) != (SAFETENSORS_TYPES[dtype], field_shape):
                    return False
            return True

        return has_fields(kind) or kind == "int8" and has_fields(BY_CHANNEL)


def save_checkpoint(
    path: str | Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, str] | None = None,
) -> None:
    """Write tensors by their published names, with ``about`` and the config as metadata."""
    ours = {"format": FORMAT, "config": config.to_json()}
    write_tensors(path, tensors, {**(about or {}), **ours})
