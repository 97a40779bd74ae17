"""The tensor layouts that checkpoints of this family come in, told apart by their names.

Canonical names are the published ones (torchtune): ours to write, and those of ``model`` but for where the two stacks sit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import MisoError

# Hugging Face's CsmForConditionalGeneration; the audio embeddings are tied and saved under either name
_TRANSFORMERS = {
    "text_embeddings.weight": ("embed_text_tokens.weight",),
    "audio_embeddings.weight": (
        "backbone_model.embed_tokens.embed_audio_tokens.weight",
        "depth_decoder.model.embed_tokens.weight",
    ),
    "codebook0_head.weight": ("lm_head.weight",),
    "projection.weight": ("depth_decoder.model.inputs_embeds_projector.weight",),
    "audio_head": ("depth_decoder.codebooks_head.weight",),
}
_TRANSFORMERS_STACKS = {"backbone.": "backbone_model.", "decoder.": "depth_decoder.model."}
_TRANSFORMERS_LAYER = {
    "sa_norm.scale": "input_layernorm.weight",
    "mlp_norm.scale": "post_attention_layernorm.weight",
    "norm.scale": "norm.weight",
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.output_proj": "self_attn.o_proj",
    "mlp.w1": "mlp.gate_proj",
    "mlp.w2": "mlp.down_proj",
    "mlp.w3": "mlp.up_proj",
}
# tables that are computed, masks, and the codec that Hugging Face ships in the same file
_IGNORED = re.compile(
    r"(^|\.)(codec_model\..*|causal_mask|.*_causal_mask|rotary_emb\.inv_freq|pos_embeddings\.(theta|cache))$"
)


@dataclass(frozen=True)
class Layout:
    """How a file names the canonical tensors."""

    name: str
    prefix: str = ""  # in front of every name, as wrappers such as DataParallel leave it
    half_rotation: bool = False  # RoPE over halves: q and k rows are a permutation of the canonical ones

    def sources(self, canonical: str) -> tuple[str, ...]:
        """Names the tensor may have in the file."""
        if self.name == "published":
            return (self.prefix + canonical,)
        if canonical in _TRANSFORMERS:
            return tuple(self.prefix + n for n in _TRANSFORMERS[canonical])
        for stack, theirs in _TRANSFORMERS_STACKS.items():
            if canonical.startswith(stack):
                canonical = theirs + canonical[len(stack) :]
        for ours, theirs in _TRANSFORMERS_LAYER.items():
            if ours in canonical:
                return (self.prefix + canonical.replace(ours, theirs),)
        return (self.prefix + canonical,)

    def convert(self, canonical: str, tensor: Tensor, head_dim: int) -> Tensor:
        """The canonical tensor of a file's: q and k rows from halves back to interleaved pairs where they need it."""
        if self.half_rotation and canonical.endswith(("q_proj.weight", "k_proj.weight")):
            return tensor.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
        return tensor


_MARKS = {
    "codebook0_head.weight": Layout("published"),
    "depth_decoder.codebooks_head.weight": Layout("transformers", half_rotation=True),
}


def is_model(names: Iterable[str]) -> bool:
    """Whether tensors of these names look like a model of the family, whole or not."""
    return _mark(names) is not None


def detect(names: Iterable[str], file: str) -> Layout:
    """The layout of a file with tensors of these names; MisoError if it isn't of this family."""
    names = list(names)
    if found := _mark(names):
        name, mark = found
        return replace(_MARKS[mark], prefix=name[: -len(mark)])
    begins = ", ".join(sorted(names)[:3]) or "no tensor at all"
    raise MisoError(
        f"{file} is no checkpoint of the Miso / CSM family: no tensor is named {' or '.join(_MARKS)} (it begins with {begins}).",
        "`python -m miso info FILE` says what a file is.",
    )


def _mark(names: Iterable[str]) -> tuple[str, str] | None:
    """The name that tells a layout, and the mark it ends with."""
    names = list(names)
    return next(
        ((name, mark) for mark in _MARKS for name in names if name == mark or name.endswith("." + mark)), None
    )


def ignored(name: str) -> bool:
    """Whether a tensor that no model asks for may be there all the same."""
    return bool(_IGNORED.search(name))
