"""The config of a checkpoint whose file has none: sizes from tensor shapes, head counts from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from ..errors import MisoError
from ..files import read_json
from ..model.config import PRESETS, ModelConfig, StackConfig

# the shape of a tensor by its published name, None if the file lacks it
ShapeOf = Callable[[str], "tuple[int, ...] | None"]


def infer_config(shape_of: ShapeOf, heads: tuple[int, int] | None, file: str) -> ModelConfig:
    """The config of a file by the shapes of its tensors.

    ``heads`` are the head counts of backbone and depth decoder, which shapes do not show; None takes them
    from the preset of the same widths. Raises MisoError if there is no such preset, or if a tensor is
    missing.
    """

    def shape(name: str) -> tuple[int, ...]:
        if found := shape_of(name):
            return found
        raise MisoError(
            f"{file} has no tensor for '{name}'.",
            "The file is cut or belongs to another model; download it again.",
        )

    text_vocab, dim = shape("text_embeddings.weight")
    steps, depth_dim, audio_vocab = shape("audio_head")
    preset = next((p for p in PRESETS.values() if (p.backbone.dim, p.depth.dim) == (dim, depth_dim)), None)
    if heads is None:
        if preset is None:
            raise MisoError(
                f"{file} has no config, and its widths ({dim} and {depth_dim}) are those of no known model: "
                "its head counts are unknown.",
                "Use one with a config in its metadata, or with Hugging Face's config.json beside it.",
            )
        heads = preset.backbone.heads, preset.depth.heads

    def stack(prefix: str, dim: int, heads: int) -> StackConfig:
        layers = next(i for i in count() if shape_of(f"{prefix}layers.{i}.sa_norm.scale") is None)
        kv_dim = shape(f"{prefix}layers.0.attn.k_proj.weight")[0]
        inter = shape(f"{prefix}layers.0.mlp.w1.weight")[0]
        return StackConfig(layers, heads, kv_dim // (dim // heads), dim, inter)

    return replace(
        PRESETS["8b"],
        backbone=stack("backbone.", dim, heads[0]),
        depth=stack("decoder.", depth_dim, heads[1]),
        text_vocab=text_vocab,
        audio_vocab=audio_vocab,
        codebooks=steps + 1,
        codebook_size=audio_vocab - 3,
        family=preset.family if preset else "csm",
    )


def heads_in_config_json(folder: Path) -> tuple[int, int] | None:
    """Head counts of backbone and depth decoder from Hugging Face's config.json; None if it has none."""
    try:
        config = read_json(folder / "config.json")
        return int(config["num_attention_heads"]), int(config["depth_decoder_config"]["num_attention_heads"])
    except (ValueError, KeyError, TypeError):  # a MisoError is a ValueError
        return None
