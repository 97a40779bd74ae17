"""LoRA adapters (Hu et al. 2021, arXiv 2106.09685): added to a checkpoint's matrices as they are read.

So an adapted model is as fast as any other, on every path and in every precision. Files are those that PEFT
writes, for a model in Hugging Face's or in the published layout.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

from torch import Tensor

from ..errors import MisoError
from ..files import open_tensors, read_header, read_json
from ..limits import is_number, shown
from ..model.config import ModelConfig
from ..model.networks import Backbone, DepthDecoder
from .build import NetworkType, canonical_shapes
from .checkpoint import Checkpoint
from .layouts import LAYOUTS, Layout, is_adapter
from .quantize import Quantized, dequantized

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."  # in front of the module's name
_PAIR = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight$")
_MOST_NAMED = 5
_MOST_ALPHA = 1e6
# patterns of modules that take no time to compare: names, alternatives, and "anything" twice at most
_SIMPLE_PATTERN = re.compile(r"(?!(?:.*\.\*){3})(?:[\w|^$]|\\?\.(?![+?{])|\\d\+?|\.\*){1,300}")
_FLOATS = ("F64", "F32", "F16", "BF16")


class _Change(NamedTuple):
    """What is added to a matrix: ``scale`` x B A, of tensors of these names in the file."""

    layout: Layout
    a: str
    b: str
    scale: float


class Adapter:
    """A LoRA adapter for a model of these sizes, checked by its header.

    ``path`` is a .safetensors file. Its alpha stands in ``adapter_config.json`` beside it; without that file
    it is taken for the rank, so that the change is B A (``alpha_known`` says which).

    Raises MisoError if the file is no adapter, is for another model, or has more than LoRA matrices in it.
    """

    def __init__(self, path: str | Path, config: ModelConfig):
        self.path, self.config = Path(path), config
        _, self._entries = read_header(self.path)
        if not is_adapter(self._entries):
            raise MisoError(
                f"{self.path.name} is not a LoRA adapter: it has no lora_A and lora_B.",
                "Choose a whole checkpoint in Load Miso Model (--checkpoint on the command line).",
                input="adapter",
            )
        self._settings = self._read_settings()
        self.alpha_known = bool(self._settings)
        self.changes = self._find_changes()  # by canonical name

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the file and of what else decides its effect."""
        with self.path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
        digest.update(repr(sorted((name, change.scale) for name, change in self.changes.items())).encode())
        return digest.hexdigest()[:32]

    def changes_network(self, network: NetworkType) -> bool:
        """Whether it changes anything of the backbone, or of the depth decoder."""
        return any(_of(network, name) for name in self.changes)

    def added(self, canonical: str, value: Tensor | Quantized, strength: float) -> Tensor | Quantized:
        """The matrix with ``strength`` times the adapter's change; in fp32 if it was changed."""
        change = self.changes.get(canonical)
        if change is None or not strength:
            return value
        stack = self.config.depth if canonical.startswith("decoder.") else self.config.backbone
        with open_tensors(self.path) as file:
            a, b = (file.get_tensor(name).float() for name in (change.a, change.b))
        b = change.layout.convert(canonical, b, stack.head_dim)
        return dequantized(value).float().addmm(b, a, alpha=strength * change.scale)

    def _read_settings(self) -> dict:
        path = self.path.with_name(CONFIG)
        if not path.is_file():
            return {}
        try:
            settings = read_json(path)
        except MisoError as e:
            raise MisoError(e.problem, e.remedy, input="adapter") from e
        if not isinstance(settings, dict):
            raise _odd(CONFIG, settings)
        if settings.get("use_dora"):
            raise self._unsupported("it is a DoRA adapter")
        patterns = settings.get("alpha_pattern") or {}
        if not isinstance(patterns, dict):
            raise _odd("alpha_pattern", patterns)
        for name, alpha in (("lora_alpha", settings.get("lora_alpha")), *patterns.items()):
            if not is_number(alpha, -_MOST_ALPHA, _MOST_ALPHA):
                raise _odd(name, alpha)
        for pattern in patterns:
            if not _SIMPLE_PATTERN.fullmatch(pattern):
                raise self._unsupported(f"its alpha_pattern has {shown(pattern)}")
        return settings

    def _find_changes(self) -> dict[str, _Change]:
        places = {
            source.removesuffix(".weight"): (canonical, layout)
            for layout in LAYOUTS
            for canonical in canonical_shapes(self.config)
            if canonical.endswith(".weight")
            for source in layout.sources(canonical)
        }
        sides: dict[str, dict[str, str]] = {}
        for name in self._entries:
            if not (pair := _PAIR.match(name)):
                raise self._unsupported(f"it has '{name}' in it, which is no LoRA matrix")
            sides.setdefault(pair["module"], {})[pair["side"]] = name
        shapes, changes, unknown = canonical_shapes(self.config), {}, []
        for module, names in sides.items():
            canonical, layout = places.get(module.removeprefix(_PREFIX), ("", LAYOUTS[0]))
            if not canonical or len(names) < 2 or "embeddings" in canonical:
                unknown.append(module)
                continue
            matrices = [self._entries[names[side]] for side in "AB"]
            if any(len(e.shape) != 2 or 0 in e.shape or e.dtype not in _FLOATS for e in matrices):
                raise self._unsupported(f"what changes {module} are no two matrices of numbers")
            (rank, inputs), (outputs, other) = (entry.shape for entry in matrices)
            if (outputs, inputs) != shapes[canonical] or rank != other:
                raise MisoError(
                    f"{self.path.name} is for a model of another size: {module} changes a matrix of "
                    f"{outputs} x {inputs}, and this model has {' x '.join(map(str, shapes[canonical]))}.",
                    "Choose the checkpoint that it was trained on.",
                    input="adapter",
                )
            changes[canonical] = _Change(layout, names["A"], names["B"], self._scale(module, rank))
        if unknown:
            more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
            raise MisoError(
                f"{self.path.name} is for another model: this one has no "
                f"{', '.join(unknown[:_MOST_NAMED])}{more}.",
                "Choose the checkpoint that it was trained on.",
                input="adapter",
            )
        return changes

    def _scale(self, module: str, rank: int) -> float:
        """alpha / rank, as PEFT defines it, with its patterns for single modules."""
        alpha = float(self._settings.get("lora_alpha", rank))
        for pattern, own in (self._settings.get("alpha_pattern") or {}).items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                alpha = float(own)
                break
        return alpha / (math.sqrt(rank) if self._settings.get("use_rslora") else rank)

    def _unsupported(self, why: str) -> MisoError:
        return MisoError(
            f"{self.path.name} can't be added as it is: {why}.",
            "Merge it into its checkpoint (PEFT: merge_and_unload), save that, and choose it as the "
            "checkpoint.",
            input="adapter",
        )


Adapters: TypeAlias = tuple[tuple[Adapter, float], ...]  # each with its strength


class AdaptedCheckpoint(Checkpoint):
    """A checkpoint with adapters, each with its strength: 0 changes nothing, 1 is as it was trained.

    Matrices that are stored quantised are dequantised, changed and quantised again.
    """

    def __init__(self, checkpoint: Checkpoint, adapters: Adapters):
        self.__dict__.update(vars(checkpoint))
        self.base, self.adapters = checkpoint, adapters
        self.fingerprint = adapted_fingerprint(checkpoint.fingerprint, adapters, Backbone, DepthDecoder)

    def fingerprint_of(self, network: NetworkType) -> str:
        return adapted_fingerprint(self.base.fingerprint, self.adapters, network)

    def read(self, canonical: str) -> Tensor | Quantized:
        value = self.base.read(canonical)
        for adapter, strength in self.adapters:
            value = adapter.added(canonical, value, strength)
        return value

    def pieces(self, canonical: str, numbers: int) -> Iterator[Tensor | Quantized]:
        if any(canonical in adapter.changes for adapter, _ in self.adapters):
            yield self.read(canonical)
        else:
            yield from self.base.pieces(canonical, numbers)


def adapted_fingerprint(base: str, adapters: Adapters, *networks: NetworkType) -> str:
    """The fingerprint of networks with adapters; ``base`` if none of the adapters changes them."""
    changing = [
        (adapter.fingerprint, float(strength))
        for adapter, strength in adapters
        if strength and any(map(adapter.changes_network, networks))
    ]
    return hashlib.sha256(repr((base, changing)).encode()).hexdigest()[: len(base)] if changing else base


def _odd(name: str, value: object) -> MisoError:
    return MisoError(
        f"The adapter's settings can't have {name} = {shown(value)}.",
        f"Save the adapter again, or restore its {CONFIG}.",
        input="adapter",
    )


def _of(network: NetworkType, canonical: str) -> bool:
    """Whether a tensor of this name is the network's."""
    depth = canonical.startswith(("decoder.", "projection."))
    return depth == (network is DepthDecoder)
