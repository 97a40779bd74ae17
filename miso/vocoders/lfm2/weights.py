"""The detokenizer's files, ``model.safetensors`` and ``config.json``, checked before loading."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import MisoError
from ...files import Entry, open_tensors, read_header, read_json, replacing, write_tensors
from .config import CODEBOOKS, DetokenizerConfig
from .detokenizer import Detokenizer

CONFIG = "config.json"
# in the published folder, but not read: the text embeddings of every LFM2
_UNUSED = ("lfm.embed_tokens.weight",)
_OUTSIDE = {"tables.weight": "emb.emb.weight", "window": "istft.window"}  # names that aren't below "lfm."
_BESIDE = f"Put the {CONFIG} of the same folder (audio_detokenizer) beside it, both in a folder of their own."
_DAMAGED = "Get it again, from LiquidAI/LFM2.5-Audio-1.5B, folder audio_detokenizer."


def is_detokenizer(names: Collection[str]) -> bool:
    """Whether tensors of these names are such a detokenizer."""
    return "emb.emb.weight" in names and "lfm.embedding_norm.weight" in names


def published_name(name: str) -> str:
    """The name in the published file of a tensor of ``Detokenizer``."""
    return _OUTSIDE.get(name, name if name.startswith("lin.") else f"lfm.{name}")


def inspect_detokenizer(path: str | os.PathLike) -> Detokenizer:
    """The network of a file, on the meta device. Sizes come from the tensors, the rest from config.json.

    Raises MisoError if the file is of another kind, lacks tensors or has others, or has no config.json beside
    it.
    """
    path = Path(path)
    entries = read_header(path)[1]
    if not is_detokenizer(entries):
        raise MisoError(
            f"{path.name} contains no detokenizer of LFM2.5-Audio.",
            "Choose a file made for this backend, or the backend 'auto'.",
            input="checkpoint",
        )
    try:
        with torch.device("meta"):
            net = Detokenizer(DetokenizerConfig(**_sizes(entries), **_settings(path, entries)))
    except MisoError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        raise MisoError(f"{path.name} or its {CONFIG} is incomplete ({e}).", _DAMAGED) from e
    expected = {published_name(name): tuple(t.shape) for name, t in net.state_dict().items()}
    wrong = [name for name, shape in expected.items() if name not in entries or entries[name].shape != shape]
    wrong += [name for name in entries if name not in expected and name not in _UNUSED]
    if wrong:
        raise MisoError(
            f"{path.name} is no detokenizer as published: {len(wrong)} tensors are missing, unknown or of "
            f"another shape ({', '.join(wrong[:5])}).",
            _DAMAGED,
        )
    return net


def load_detokenizer(
    path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Detokenizer:
    """Load a detokenizer. ``dtype``: of its layers; what makes spectra of their outputs stays fp32.

    Raises MisoError as ``inspect_detokenizer`` does.
    """
    net = inspect_detokenizer(path)
    with open_tensors(path) as file:
        net.load_state_dict(
            {
                name: file.get_tensor(published_name(name)).to(
                    device, dtype if name.startswith("layers.") else torch.float32, copy=True
                )
                for name in net.state_dict()
            },
            assign=True,
        )
    return net.eval().requires_grad_(False)


def save_detokenizer(path: str | os.PathLike, net: Detokenizer) -> None:
    """Write a detokenizer as it is published, with config.json beside it. Raises MisoError if it can't."""
    c = net.config
    write_tensors(path, {published_name(name): t for name, t in net.state_dict().items()}, {"format": "pt"})
    settings = {
        "hidden_size": c.dim,
        "layer_types": ["conv" if kind == "conv" else "sliding_attention" for kind in c.layers],
        "sliding_window": c.window,
        "norm_eps": c.norm_eps,
        "rope_theta": c.rope_base,
    }
    with replacing(Path(path).with_name(CONFIG)) as temporary:
        temporary.write_text(json.dumps(settings), encoding="utf-8")


def _sizes(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Sizes that the shapes of tensors tell. Raises LookupError if a tensor is missing."""
    kinds = _kinds(entries)
    rows, dim = entries["emb.emb.weight"].shape
    sizes = {
        "dim": dim,
        "codebook_size": rows // CODEBOOKS,
        "inner": entries["lfm.layers.0.feed_forward.w1.weight"].shape[0],
        "layers": kinds,
        "fft": entries["istft.window"].shape[0],
    }
    if "conv" in kinds:
        sizes["kernel"] = entries[f"lfm.layers.{kinds.index('conv')}.conv.conv.weight"].shape[2]
    if "attention" in kinds:
        attention = f"lfm.layers.{kinds.index('attention')}.self_attn."
        (head_dim,) = entries[f"{attention}q_layernorm.weight"].shape
        q, k = (entries[f"{attention}{name}_proj.weight"].shape[0] for name in "qk")
        sizes |= {"head_dim": head_dim, "heads": q // max(head_dim, 1), "kv_heads": k // max(head_dim, 1)}
    return sizes


def _kinds(entries: Collection[str]) -> tuple[str, ...]:
    """The kind of each layer."""
    count = len({name.split(".")[2] for name in entries if name.startswith("lfm.layers.")})
    convolutions = (f"lfm.layers.{i}.conv.conv.weight" in entries for i in range(count))
    return tuple("conv" if conv else "attention" for conv in convolutions)


def _settings(path: Path, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """What only config.json tells; where it says nothing, what LFM2 has by default."""
    if not (place := path.with_name(CONFIG)).is_file():
        raise MisoError(
            f"{CONFIG} is missing beside {path.name}.",
            _BESIDE,
            input="checkpoint",
        )
    config = read_json(place)
    kinds, dim = _kinds(entries), entries["emb.emb.weight"].shape[1]
    claimed = tuple("conv" if kind == "conv" else "attention" for kind in config.get("layer_types") or kinds)
    if config.get("hidden_size", dim) != dim or claimed != kinds:
        raise MisoError(
            f"The {CONFIG} beside {path.name} belongs to another model.",
            _BESIDE,
            input="checkpoint",
        )
    names = {"window": "sliding_window", "norm_eps": "norm_eps", "rope_base": "rope_theta"}
    found = {**(config.get("rope_parameters") or {}), **config}
    return {ours: found[theirs] for ours, theirs in names.items() if found.get(theirs) is not None}
