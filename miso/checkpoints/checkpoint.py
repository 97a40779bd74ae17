"""Checkpoints: opened by their headers alone, each part loaded when it is first wanted, tensor by tensor from the mapped file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MisoError
from ..files import Entry, open_tensors, read_header, write_tensors
from ..model.config import PRESETS, ModelConfig, StackConfig
from ..model.networks import Backbone, DepthDecoder
from ..progress import Progress
from ..text.conditioning import TextEncoder
from ..text.tokenizer import find_tokenizer
from .build import build, canonical_shapes
from .devices import Precision
from .layouts import detect, ignored
from .quantize import BY_CHANNEL, TYPES, Quantized, field_name, field_specs, requantize

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
_QUANTIZED = {
    SAFETENSORS_TYPES[dtype]: kind for kind, dtype in TYPES.items()
}  # the type of a quantised weight -> its kind


class Checkpoint:
    """A model's files, checked whole by their headers: every tensor there, none too many, each of the right shape.

    ``path`` is a .safetensors file, an index of shards, or a folder that holds one of them.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        self.entries: dict[str, Entry] = {}
        self._files: dict[str, Path] = {}  # tensor name -> the file that holds it
        for file in _shards(self.path):
            metadata, entries = read_header(file)
            self.metadata.update(metadata)
            self.entries.update(entries)
            self._files.update(dict.fromkeys(entries, file))
        self.layout = detect(self.entries, self.path.name)
        self.config = self._config()
        self._names = self._match()  # canonical name -> name in the file
        self.fingerprint = self.metadata.get("fingerprint") or self._sample()

    def load_backbone(
        self,
        device: str | torch.device = "cpu",
        precision: Precision = Precision(),
        progress: Progress | None = None,
        on_cpu: int = 0,
    ) -> Backbone:
        """With ``on_cpu`` of its layers in the CPU's memory for good (see ``offload``), for a device that doesn't hold it whole."""
        return build(
            Backbone,
            self.config,
            self.fingerprint,
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
        return build(
            DepthDecoder,
            self.config,
            self.fingerprint,
            self.read,
            device=device,
            precision=precision,
            progress=progress,
        )

    def text_encoder(self, tokenizers: Iterable[str | Path] = ()) -> TextEncoder:
        """The text encoder; ``tokenizers`` are further places where a tokenizer.json may be."""
        return TextEncoder(
            self.config, find_tokenizer(self.config.conventions.tokenizer, self.folder, tokenizers)
        )

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def sources(self) -> list[Path]:
        """The files that what is known of the checkpoint was read from, and the config.json that would count if it were there."""
        return list(dict.fromkeys([self.path, *self._files.values(), self.folder / "config.json"]))

    def read(self, canonical: str) -> Tensor | Quantized:
        """One tensor by its published name, as the file has it but for the order of q and k rows."""
        name = self._names[canonical]
        kind = _QUANTIZED.get(self.entries[name].dtype)
        # opened anew for each: pages of a mapping that stays are memory that stays
        with open_tensors(self._files[name]) as file:
            if kind:
                fields = field_specs(kind, (1, 1))
                return Quantized(**{field: file.get_tensor(field_name(name, field)) for field in fields})
            stack = self.config.depth if canonical.startswith("decoder.") else self.config.backbone
            return self.layout.convert(canonical, file.get_tensor(name), stack.head_dim)

    def tensor(self, canonical: str) -> Tensor:
        """The same, multiplied out to fp32 if it is quantised."""
        return requantize(self.read(canonical), "")

    def pieces(self, canonical: str, numbers: int) -> Iterator[Tensor | Quantized]:
        """The same as ``read``, so many rows at a time as hold about ``numbers``; the file is closed in between, so that no memory is held."""
        name = self._names[canonical]
        shape, as_it_is = (
            self.entries[name].shape,
            self.entries[name].dtype not in _QUANTIZED and not self.layout.half_rotation,
        )
        rows = max(1, numbers * shape[0] // max(1, torch.Size(shape).numel()))
        if rows >= shape[0] or not as_it_is:  # q and k rows, and what has scales, are small enough
            yield self.read(canonical)
            return
        for start in range(0, shape[0], rows):
            with open_tensors(self._files[name]) as file:
                yield file.get_slice(name)[start : start + rows]

    @property
    def weights(self) -> str:
        """What the file holds its matrices in, where that is fewer bits than 16: int8, fp8, int4 (and int8) or ""."""
        return max(
            (_QUANTIZED.get(entry.dtype, "") for entry in self.entries.values()), key=["", *TYPES].index
        )

    def _config(self) -> ModelConfig:
        if "config" in self.metadata:
            return ModelConfig.from_json(self.metadata["config"])
        return _known_size(self._shape, self.layout.name, self.folder, self.path.name, self.entries)

    def _shape(self, canonical: str) -> tuple[int, ...] | None:
        return next(
            (self.entries[n].shape for n in self.layout.sources(canonical) if n in self.entries), None
        )

    def _match(self) -> dict[str, str]:
        """Find every tensor, or say in one error all that is wrong."""
        names, wrong = {}, []
        for canonical, shape in canonical_shapes(self.config).items():
            sources = self.layout.sources(canonical)
            found = next((n for n in sources if n in self.entries), None)
            if found is None:
                wrong.append(f"missing {sources[0]} {list(shape)}")
            elif self._quantized(found, shape):
                names[canonical] = found
            elif self.entries[found].shape != shape:
                wrong.append(f"{found} is {list(self.entries[found].shape)}, not {list(shape)}")
            elif self.entries[found].dtype not in _FLOATS:
                wrong.append(f"{found} is of the type {self.entries[found].dtype}")
            else:
                names[canonical] = found
        known = {n for canonical in names for n in self.layout.sources(canonical)}
        known |= {
            field_name(n, field)
            for n in names.values()
            if (kind := _QUANTIZED.get(self.entries[n].dtype))
            for field in field_specs(kind, (1, 1))
        }
        wrong += [
            f"unknown {n} {list(e.shape)}"
            for n, e in self.entries.items()
            if n not in known and not ignored(n) and not any(n in w.split() for w in wrong)
        ]
        if wrong:
            more = f"; and {len(wrong) - 12} more" if len(wrong) > 12 else ""
            raise MisoError(
                f"{self.path.name} doesn't fit its sizes ({self.layout.name} layout): {'; '.join(wrong[:12])}{more}.",
                "The file is of another model, or was cut or changed; download it again.",
            )
        return names

    def _quantized(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether the tensor is a quantised matrix of that shape, with all its fields."""
        kind = _QUANTIZED.get(self.entries[name].dtype)
        if kind is None or self.layout.name != "published" or len(shape) != 2:
            return False

        def fits(kind: str) -> bool:
            fields = (
                (self.entries.get(field_name(name, field)), what)
                for field, what in field_specs(kind, shape).items()
            )
            return all(
                e is not None and (e.dtype, e.shape) == (SAFETENSORS_TYPES[dtype], size)
                for e, (dtype, size) in fields
            )

        return fits(kind) or kind == "int8" and fits(BY_CHANNEL)

    def _sample(self) -> str:
        """A fingerprint without reading all: a hash of every name, type and shape, and of each tensor's first 4 KB."""
        digest = hashlib.sha256()
        for name in sorted(self.entries):
            entry = self.entries[name]
            digest.update(f"{name} {entry.dtype} {entry.shape}".encode())
            with self._files[name].open("rb") as file:
                file.seek(entry.start)
                digest.update(file.read(min(4096, entry.end - entry.start)))
        return digest.hexdigest()[:32]


def save_checkpoint(
    path: str | Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, str] | None = None,
) -> None:
    """Write tensors by their published names, with the config and a fingerprint of their whole content in the metadata."""
    digest = hashlib.sha256(config.to_json().encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(torch.uint8).numpy())
    write_tensors(
        path,
        tensors,
        {
            **(about or {}),
            "format": FORMAT,
            "config": config.to_json(),
            "fingerprint": digest.hexdigest()[:32],
        },
    )


def _shards(path: Path) -> list[Path]:
    """The .safetensors files behind a path."""
    if path.is_dir():
        places = [
            path / "model.safetensors.index.json",
            path / "model.safetensors",
            *sorted(path.glob("*.safetensors")),
        ]
        path = next((p for p in places if p.is_file()), path / "model.safetensors")
    if path.suffix != ".json":
        return [path]
    try:
        return [
            path.parent / name for name in sorted(set(json.loads(path.read_text())["weight_map"].values()))
        ]
    except (OSError, ValueError, KeyError, AttributeError) as e:
        raise MisoError(
            f"{path.name} can't be read as an index of shards ({type(e).__name__}).", "Download it again."
        ) from e


def _known_size(shape, layout: str, folder: Path, file: str, entries) -> ModelConfig:
    """The config of a file that carries none: sizes off the tensors, the heads from a config.json beside it or the family's preset."""

    def need(name):
        found = shape(name)
        if found is None:
            raise MisoError(
                f"{file} has no tensor for '{name}'.",
                "The file is cut or of another model; download it again.",
            )
        return found

    text_vocab, dim = need("text_embeddings.weight")
    steps, depth_dim, audio_vocab = need("audio_head")
    heads = _heads_beside(folder) if layout == "transformers" else None
    preset = next((p for p in PRESETS.values() if (p.backbone.dim, p.depth.dim) == (dim, depth_dim)), None)
    if heads is None:
        if preset is None:
            raise MisoError(
                f"{file} is {dim} / {depth_dim} wide, which is no known size, and carries no config: its head counts can't be told.",
                "Use a checkpoint with a config in its metadata, or with Hugging Face's config.json beside it.",
            )
        heads = preset.backbone.heads, preset.depth.heads

    def stack(prefix, dim, heads):
        layers = next(i for i in range(10_000) if shape(f"{prefix}layers.{i}.sa_norm.scale") is None)
        head_dim = dim // heads
        kv_dim, inter = (
            need(f"{prefix}layers.0.attn.k_proj.weight")[0],
            need(f"{prefix}layers.0.mlp.w1.weight")[0],
        )
        return StackConfig(layers, heads, kv_dim // head_dim, dim, inter)

    family = preset.family if preset else "csm"
    return replace(
        PRESETS["8b"],
        backbone=stack("backbone.", dim, heads[0]),
        depth=stack("decoder.", depth_dim, heads[1]),
        text_vocab=text_vocab,
        audio_vocab=audio_vocab,
        codebooks=steps + 1,
        codebook_size=audio_vocab - 3,
        family=family,
    )


def _heads_beside(folder: Path) -> tuple[int, int] | None:
    """Head counts from Hugging Face's config.json, if there is one of a CSM model."""
    try:
        config = json.loads((folder / "config.json").read_text())
        return int(config["num_attention_heads"]), int(config["depth_decoder_config"]["num_attention_heads"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
