"""The tensor layouts of checkpoints of this family, recognised by tensor names.

Canonical names are those of the published checkpoints (torchtune). We write them too, and ``model`` uses them
except for the prefixes of the two transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import MisoError

# Hugging Face's CsmForConditionalGeneration. The audio embeddings are tied, and saved under either name.
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
    prefix: str = ""  # in front of every name, as wrappers such as DataParallel add
    half_rotation: bool = False  # RoPE rotates halves, so the rows of q and k are permuted

    def sources(self, canonical: str) -> tuple[str, ...]:
        """The names that the tensor may have in the file."""
        if self.name == "published":
            return (self.prefix + canonical,)
        if canonical in _TRANSFORMERS:
            return tuple(self.prefix + name for name in _TRANSFORMERS[canonical])
        for stack, theirs in _TRANSFORMERS_STACKS.items():
            if canonical.startswith(stack):
                canonical = theirs + canonical[len(stack) :]
        for ours, theirs in _TRANSFORMERS_LAYER.items():
            if ours in canonical:
                return (self.prefix + canonical.replace(ours, theirs),)
        return (self.prefix + canonical,)

    def convert(self, canonical: str, tensor: Tensor, head_dim: int) -> Tensor:
        """Convert a tensor of the file: rows of q and k from halves to interleaved pairs."""
        if self.half_rotation and canonical.endswith(("q_proj.weight", "k_proj.weight")):
            return tensor.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
        return tensor


# the tensor that only this layout has -> the layout
_MARKS = {
    "codebook0_head.weight": Layout("published"),
    "depth_decoder.codebooks_head.weight": Layout("transformers", half_rotation=True),
}


LAYOUTS = tuple(_MARKS.values())


def is_model(names: Iterable[str]) -> bool:
    """Whether tensors with these names look like a model of the family, complete or not."""
    return _mark(names) is not None


def is_adapter(names: Iterable[str]) -> bool:
    """Whether tensors with these names are LoRA matrices (see ``lora``)."""
    return any(".lora_A." in name or ".lora_B." in name for name in names)


def detect(names: Iterable[str], file: str) -> Layout:
    """The layout of a file with tensors of these names. Raises MisoError if it is not of this family."""
    names = list(names)
    if found := _mark(names):
        name, mark = found
        return replace(_MARKS[mark], prefix=name[: -len(mark)])
    if is_adapter(names):
        raise MisoError(
            f"{file} is a LoRA adapter, not a checkpoint.",
            "Choose the checkpoint that it was trained on here, and the adapter in Load LoRA (--lora on the "
            "command line).",
            input="checkpoint",
        )
    first_names = ", ".join(sorted(names)[:3]) or "none"
    raise MisoError(
        f"{file} is not a checkpoint of the Miso / CSM family: no tensor is named {' or '.join(_MARKS)}"
        f" (its first tensors are: {first_names}).",
        "`python -m miso info FILE` describes a file.",
    )


def _mark(names: Iterable[str]) -> tuple[str, str] | None:
    """The name of the tensor that identifies a layout, and the key of ``_MARKS`` that the name ends with."""
    names = list(names)
    return next(
        ((name, mark) for mark in _MARKS for name in names if name == mark or name.endswith("." + mark)), None
    )


def ignored(name: str) -> bool:
    """Whether a tensor that is not part of the model is expected in files and can be skipped."""
    return bool(_IGNORED.search(name))
