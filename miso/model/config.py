"""Sizes of a model, and the few facts of its family that its tensors don't show.

One model definition serves every size; 8B, CSM-1B and the embedded nano model are rows of ``PRESETS``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ..errors import MisoError

MIMI = "mimi-e351c8d8"  # codec id of the Mimi that Miso, CSM, Marvis, Moshi and Kyutai's TTS share; the number is in its published file name


@dataclass(frozen=True)
class StackConfig:
    """Sizes of one transformer (the backbone's or the depth decoder's)."""

    layers: int
    heads: int
    kv_heads: int
    dim: int
    inter: int  # width of the gated MLP

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


@dataclass(frozen=True)
class Family:
    """Conventions shared by checkpoints of one origin."""

    prompt: str  # text of a segment, from speaker and text
    strip: bool  # whether a segment's text is left-stripped first
    tokenizer: str  # "llama3", "bytes" or "phonemes"


FAMILIES = {
    "miso": Family("[{speaker}] {text}", True, "llama3"),
    "csm": Family("[{speaker}]{text}", False, "llama3"),
    "nano": Family("[{speaker}] {text}", True, "phonemes"),
    "bytes": Family("[{speaker}] {text}", True, "bytes"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build a model: two stacks, vocabularies and the family's conventions."""

    backbone: StackConfig
    depth: StackConfig
    text_vocab: int
    audio_vocab: int  # rows a codebook in the embedding and head tables
    codebooks: int
    codebook_size: int  # ids a codec knows; ids from here to audio_vocab - 1 are never drawn
    codec: str = MIMI  # codec id of the codes it speaks
    family: str = "miso"
    positions: int = 2048  # rows of prompt + frames the backbone was trained for
    frame_rate: float = 12.5
    rope_base: float = 500_000.0
    norm_eps: float = 1e-5
    temperature: float = 0.9  # the checkpoint's own sampling defaults
    top_k: int = 50

    @property
    def conventions(self) -> Family:
        return FAMILIES[self.family]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> ModelConfig:
        """Read a checkpoint's ``config`` metadata: ours, or the short form of the golden fixtures (``K``, ``decoder``, ``kv``)."""
        try:
            raw = json.loads(text)
            backbone, depth = _stack(raw["backbone"]), _stack(raw.get("depth") or raw["decoder"])
            audio_vocab = int(raw["audio_vocab"])
            config = ModelConfig(
                backbone,
                depth,
                int(raw["text_vocab"]),
                audio_vocab,
                int(raw.get("codebooks") or raw["K"]),
                int(raw.get("codebook_size", audio_vocab)),
                **{
                    k: raw[k]
                    for k in (
                        "codec",
                        "family",
                        "positions",
                        "frame_rate",
                        "rope_base",
                        "norm_eps",
                        "temperature",
                        "top_k",
                    )
                    if k in raw
                },
            )
        except (KeyError, TypeError, ValueError) as e:
            raise MisoError(
                f"The checkpoint's config can't be read ({type(e).__name__}: {e}).",
                "Write it again with this version of Miso.",
            ) from e
        if config.family not in FAMILIES:
            raise MisoError(
                f"The checkpoint is of the family '{config.family}'; known are {', '.join(FAMILIES)}.",
                "Update Miso, or choose another checkpoint.",
            )
        return config


def _stack(raw: dict) -> StackConfig:
    return StackConfig(
        int(raw["layers"]),
        int(raw["heads"]),
        int(raw.get("kv_heads") or raw["kv"]),
        int(raw["dim"]),
        int(raw["inter"]),
    )


PRESETS = {
    "8b": ModelConfig(
        StackConfig(32, 32, 8, 4096, 14336),
        StackConfig(8, 24, 6, 1536, 6912),
        128_256,
        2051,
        32,
        2048,
        MIMI,
        "miso",
    ),
    "csm-1b": ModelConfig(
        StackConfig(16, 32, 8, 2048, 8192),
        StackConfig(4, 8, 2, 1024, 8192),
        128_256,
        2051,
        32,
        2048,
        MIMI,
        "csm",
    ),
    "nano": ModelConfig(
        StackConfig(8, 5, 1, 320, 880), StackConfig(3, 4, 2, 192, 512), 320, 2051, 8, 2048, "nano", "nano"
    ),
}
