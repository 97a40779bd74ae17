"""The tensor names of Mimi's files, and conversion from one layout to another, bit for bit.

*published*: Kyutai's names (318 tensors at the published size), which we write too. There are two spellings:
``in_proj_weight`` as published, ``in_projs.0.weight`` when saved again by Kyutai's package.

*hugging face*: the same numbers with the names of ``transformers`` (350 tensors): query, key and value are
separate, and the rows of query and key are in another order, because it rotates the halves of a head where
the published code rotates neighbours.

In our modules a codebook is a table of vectors; in files it is a sum and a count, from training by moving
averages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Sources = dict[str, tuple[str, ...]]  # published name -> names in the file: one, or query, key and value

_FIRST, _REST = "quantizer.rvq_first.", "quantizer.rvq_rest."
_QKV = ("q_proj.weight", "k_proj.weight", "v_proj.weight")
_PAIRS = [  # published fragment, hugging face fragment: replaced in either direction
    *(
        (f"{ours}{a}", f"quantizer.{theirs}_residual_vector_quantizer.{b}")
        for ours, theirs in ((_FIRST, "semantic"), (_REST, "acoustic"))
        for a, b in (
            ("vq.layers.", "layers."),
            ("input_proj.", "input_proj."),
            ("output_proj.", "output_proj."),
        )
    ),
    ("._codebook._initialized", ".codebook.initialized"),
    ("._codebook.embedding_sum", ".codebook.embed_sum"),
    ("._codebook.cluster_usage", ".codebook.cluster_usage"),
    ("encoder.model.", "encoder.layers."),
    ("decoder.model.", "decoder.layers."),
    ("_transformer.transformer.layers.", "_transformer.layers."),
    (".linear1.", ".mlp.fc1."),
    (".linear2.", ".mlp.fc2."),
    (".self_attn.out_proj.", ".self_attn.o_proj."),
    (".norm1.", ".input_layernorm."),
    (".norm2.", ".post_attention_layernorm."),
    (".layer_scale_1.", ".self_attn_layer_scale."),
    (".layer_scale_2.", ".mlp_layer_scale."),
]


def published_name(module_name: str) -> str:
    """The published name of a parameter of our module, except codebook tables (see ``codebook_prefix``)."""
    name = module_name.replace("_transformer.layers.", "_transformer.transformer.layers.")
    name = name.replace("self_attn.in_proj.weight", "self_attn.in_proj_weight")
    name = name.replace("quantizer.semantic.", _FIRST).replace("quantizer.acoustic.", _REST)
    name = re.sub(r"(layer_scale_\d)$", r"\1.scale", name)
    # published modules wrap convolutions two or three times
    wrapped = r".\1.\1.\1." if name.startswith(("downsample", "upsample")) else r".\1.\1."
    return re.sub(r"\.(conv|convtr)\.", wrapped, name)


def codebook_prefix(module_name: str, index: int) -> str:
    """The prefix of the published names of codebook ``index`` of a table (``quantizer.semantic.tables``)."""
    return f"{_FIRST if 'semantic' in module_name else _REST}vq.layers.{index}._codebook."


def sources(names: Iterable[str]) -> Sources | None:
    """Published names and their sources in a file of these names, of any layout; None if it isn't a Mimi."""
    names = set(names)
    if any(name.startswith("decoder.model.") for name in names):
        return {_plain(name): (name,) for name in names}
    # transformers nests these modules since 5.22, and some files were saved that way.
    flat = {_unnested(name): name for name in names}
    tops = [int(m[1]) for name in flat if (m := re.match(r"decoder\.layers\.(\d+)\.conv\.", name))]
    if not tops:
        return None
    found: Sources = {}
    for name, actual in flat.items():
        if name.endswith(_QKV[1:]):
            continue  # with the query
        if name.endswith(_QKV[0]):
            published = _from_hugging_face(name.replace(_QKV[0], "in_proj_weight"), max(tops))
            parts = [name.replace(_QKV[0], part) for part in _QKV]
            found[published] = tuple(flat.get(part, part) for part in parts)
        else:
            found[_from_hugging_face(name, max(tops))] = (actual,)
    return found


def join(parts: list[Tensor], heads: int) -> Tensor:
    """The published tensor of its parts in a file: one tensor, or query, key and value of Hugging Face."""
    if len(parts) == 1:
        return parts[0]
    q, k, v = parts
    return torch.cat([_swap(q, heads, 2), _swap(k, heads, 2), v])


def to_published(tensors: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
    """Tensors of any layout under their published names. Raises KeyError if a key or value is missing."""
    return {
        name: join([tensors[part] for part in parts], heads)
        for name, parts in (sources(tensors) or {}).items()
    }


def to_hugging_face(tensors: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
    """Tensors with published names converted to the layout of ``transformers``."""
    result = {}
    for name, tensor in tensors.items():
        for ours, theirs in _PAIRS:
            name = name.replace(ours, theirs)
        name = re.sub(r"(\.conv(tr)?)+\.", ".conv.", name)
        if name.endswith("in_proj_weight"):
            q, k, v = tensor.chunk(3)
            half = tensor.shape[1] // heads // 2
            for part, rows in zip(_QKV, (_swap(q, heads, half), _swap(k, heads, half), v), strict=True):
                result[name.replace("in_proj_weight", part)] = rows.contiguous()
        else:
            result[name] = tensor
    return result


def _unnested(name: str) -> str:
    name = re.sub(r"^(?:en|de)coder\.(?=\w+_transformer\.|downsample\.|upsample\.)", "", name)
    return re.sub(r"^(?:en|de)coder\.((?:en|de)coder)_seanet\.", r"\1.", name)


def _plain(name: str) -> str:
    return name.replace(".in_projs.0.weight", ".in_proj_weight").replace(".out_projs.0.", ".out_proj.")


def _from_hugging_face(name: str, last: int) -> str:
    """``last``: index of the decoder's last layer; layers between the first and last are transposed."""
    top = re.match(r"decoder\.layers\.(\d+)\.conv\.", name)
    kind = "convtr" if name.startswith("upsample") or (top and 0 < int(top[1]) < last) else "conv"
    depth = 3 if name.startswith(("downsample", "upsample")) else 2
    name = name.replace(".conv.", "." + ".".join([kind] * depth) + ".")
    for ours, theirs in _PAIRS:
        name = name.replace(theirs, ours)
    return name


def _swap(rows: Tensor, heads: int, inner: int) -> Tensor:
    """Transpose the rows of each head as ``inner`` groups.

    Head dim / 2 groups of two move published neighbours to the halves of a head; two groups move them back.
    """
    return rows.unflatten(0, (heads, inner, -1)).transpose(1, 2).flatten(0, 2)
