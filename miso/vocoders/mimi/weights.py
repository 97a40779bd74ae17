"""Mimi's safetensors files: reading any layout of ``layouts``, checked before loading, and writing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import MisoError
from ...files import Entry, open_tensors, read_header, write_tensors
from ...model.config import MIMI
from .codec import Mimi
from .config import MimiConfig
from .layouts import Sources, codebook_prefix, join, published_name, sources

FORMAT = "miso.mimi"
_EPSILON = 1e-5  # minimum count of a codebook entry, as published
# prefixes of tensors that only encoding uses; a file with a decoder only may have those of the quantizer
_ENCODER = ("encoder.", "encoder_transformer.", "downsample.")
_ENCODING = (*_ENCODER, "quantizer.rvq_first.input_proj.", "quantizer.rvq_rest.input_proj.")
_INITIALIZED = "._codebook._initialized"  # used in Kyutai's training only


@dataclass(frozen=True)
class MimiFile:
    """A checked Mimi file: it has all tensors that its codec needs, in the right shapes."""

    path: Path
    config: MimiConfig
    codec: str
    has_encoder: bool
    sources: Sources  # published name -> names in the file

    def read(self, file, name: str) -> Tensor:
        """The published tensor ``name`` of an open file (``open_tensors``): mapped memory, unless joined."""
        return join([file.get_tensor(part) for part in self.sources[name]], self.config.heads)

    def codebook(self, file, prefix: str) -> Tensor:
        """The vectors [size, dim] of a codebook, divided in fp32."""
        total, count = self.read(file, f"{prefix}embedding_sum"), self.read(file, f"{prefix}cluster_usage")
        return total.float() / count.float().clamp(min=_EPSILON)[:, None]


def inspect_mimi(path: str | os.PathLike) -> MimiFile:
    """Read and check the header of a file.

    Raises MisoError if it is a pickle, cut short or not a Mimi, and lists all tensors that are missing,
    unknown or of another shape.
    """
    path = Path(path)
    metadata, entries = read_header(path)
    found = sources(entries)
    if found is None:
        raise MisoError(
            f"{path.name} is not a Mimi codec: none of its {len(entries)} tensors has a name of Mimi's.",
            "Choose the codec's own file, such as tokenizer-e351c8d8-checkpoint125.safetensors, or "
            "model.safetensors of kyutai/mimi.",
        )
    absent = [part for parts in found.values() for part in parts if part not in entries]
    shapes = {
        name: _joined_shape([entries[part] for part in parts])
        for name, parts in found.items()
        if all(part in entries for part in parts)
    }
    ours = metadata.get("format") == FORMAT
    config = MimiConfig.from_json(metadata.get("config", "")) if ours else _sizes(shapes)
    has_encoder = any(name.startswith(_ENCODER) for name in found)
    expected = expected_shapes(config, has_encoder)
    missing = absent + [name for name in expected if name not in found]
    known = set(expected) | {name for name in found if name.endswith(_INITIALIZED)}
    extra = [
        part
        for name, parts in found.items()
        if name not in known and not (name.startswith(_ENCODING) and not has_encoder)
        for part in parts
    ]
    misshapen = [
        f"{found[name][0]} is {list(shapes[name])}, not {list(shape)}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    if missing or extra or misshapen:
        faults = ((missing, "missing"), (extra, "unknown"), (misshapen, "of another shape"))
        lists = "; ".join(_listed(names, what) for names, what in faults if names)
        raise MisoError(
            f"{path.name} does not fit a Mimi codec of {config.codebooks} codebooks: {lists}.",
            "The file is incomplete or of another codec. Download it again, or choose another.",
        )
    codec = metadata.get("codec") if ours else None
    return MimiFile(path, config, codec or _codec_of(path.name), has_encoder, found)


def load_mimi(
    path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Mimi:
    """Load a codec from a safetensors file of any layout, tensor by tensor.

    ``dtype``: of decoding; encoder and codebooks stay fp32 (see ``Mimi.decoder_to``). Raises MisoError as
    ``inspect_mimi`` does.
    """
    info = inspect_mimi(path)
    with torch.device("meta"):
        mimi = Mimi(info.config, info.codec, info.has_encoder)
    state = {}
    with open_tensors(path) as file:
        for name, parameter in mimi.named_parameters():
            if name.endswith("tables"):
                weights = torch.stack(
                    [info.codebook(file, codebook_prefix(name, i)) for i in range(len(parameter))]
                )
            else:
                weights = info.read(file, published_name(name))
            decoding = name.startswith(("upsample", "decoder"))
            # Always copy: a view of mapped memory would keep the file open.
            state[name] = weights.to(device, dtype if decoding else torch.float32, copy=True)
    mimi.load_state_dict(state, assign=True)
    return mimi.eval()


def save_mimi(path: str | os.PathLike, mimi: Mimi, codec: str | None = None) -> None:
    """Write a codec with published names, and its sizes and codec id in the metadata.

    A codebook is written as its vectors with counts of one, so it loads with the same bits. Raises MisoError
    without a codec id.
    """
    codec = codec or mimi.codec
    if not codec:
        raise MisoError(
            "A codec file needs a codec id, which distinguishes its codes from those of other codecs."
        )
    metadata = {"format": FORMAT, "config": mimi.config.to_json(), "codec": codec}
    write_tensors(path, published_tensors(mimi), metadata)


def published_tensors(mimi: Mimi) -> dict[str, Tensor]:
    """A codec's weights with published names, on the CPU."""
    result = {}
    for name, parameter in mimi.state_dict().items():
        if not name.endswith("tables"):
            result[published_name(name)] = parameter.cpu()
            continue
        for i, table in enumerate(parameter.cpu()):
            prefix = codebook_prefix(name, i)
            result |= {
                f"{prefix}_initialized": torch.ones(1),
                f"{prefix}cluster_usage": torch.ones(len(table)),
                f"{prefix}embedding_sum": table.clone(),
            }
    return result


def expected_shapes(config: MimiConfig, encoder: bool) -> dict[str, tuple[int, ...]]:
    """Published name -> shape of every tensor that a codec of these sizes needs."""
    with torch.device("meta"):
        mimi = Mimi(config, encoder=encoder)
    shapes = {}
    for name, parameter in mimi.named_parameters():
        if name.endswith("tables"):
            for i in range(len(parameter)):
                prefix = codebook_prefix(name, i)
                shapes[f"{prefix}cluster_usage"] = tuple(parameter.shape[1:2])
                shapes[f"{prefix}embedding_sum"] = tuple(parameter.shape[1:])
        else:
            shapes[published_name(name)] = tuple(parameter.shape)
    return shapes


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> MimiConfig:
    """The sizes of a published file from its shapes; the default where a tensor is missing."""
    default = MimiConfig()

    def count(pattern: str) -> int:
        return len({m[1] for name in shapes if (m := re.match(pattern, name))})

    def size(name: str, axis: int, otherwise: int) -> int:
        shape = shapes.get(name, ())
        return shape[axis] if len(shape) > axis else otherwise

    tops = {int(m[1]) for name in shapes if (m := re.match(r"decoder\.model\.(\d+)\.", name))}
    last = max(tops)  # never empty: ``sources`` found decoder layers
    ups = [
        shapes[name]
        for n in sorted(tops)
        if len(shapes.get(name := f"decoder.model.{n}.convtr.convtr.weight", ())) == 3
    ]
    layer = "decoder_transformer.transformer.layers.0."
    dim = size("decoder.model.0.conv.conv.weight", 1, default.dim)
    codebook = "quantizer.rvq_first.vq.layers.0._codebook.embedding_sum"
    semantic = count(r"quantizer\.rvq_first\.vq\.layers\.(\d+)\.") or default.semantic
    inner = size("decoder.model.3.block.1.conv.conv.weight", 0, 0)
    return MimiConfig(
        filters=size(f"decoder.model.{last}.conv.conv.weight", 1, default.filters),
        ratios=tuple(shape[2] // 2 for shape in ups) or default.ratios,
        kernel=size("decoder.model.0.conv.conv.weight", 2, default.kernel),
        last_kernel=size(f"decoder.model.{last}.conv.conv.weight", 2, default.last_kernel),
        residual_kernel=size("decoder.model.3.block.1.conv.conv.weight", 2, default.residual_kernel),
        # layers: a convolution; at each ratio an activation, an upsampling and the blocks; an activation, a
        # convolution
        residual_layers=(last - 2) // len(ups) - 2 if ups else default.residual_layers,
        compress=size("decoder.model.3.block.1.conv.conv.weight", 1, 0) // inner
        if inner
        else default.compress,
        dim=dim,
        heads=max(dim // 64, 1),  # no shape shows it; 64 is the published head size
        encoder_layers=count(r"encoder_transformer\.transformer\.layers\.(\d+)\.") or default.encoder_layers,
        decoder_layers=count(r"decoder_transformer\.transformer\.layers\.(\d+)\.") or default.decoder_layers,
        ff=size(f"{layer}linear1.weight", 0, default.ff),
        stride=size("upsample.convtr.convtr.convtr.weight", 2, 2 * default.stride) // 2,
        codebooks=semantic
        + (count(r"quantizer\.rvq_rest\.vq\.layers\.(\d+)\.") or default.codebooks - default.semantic),
        semantic=semantic,
        codebook_size=size(codebook, 0, default.codebook_size),
        codebook_dim=size(codebook, 1, default.codebook_dim),
    )


def _joined_shape(parts: list[Entry]) -> tuple[int, ...]:
    first, *others = (part.shape for part in parts)
    if any(len(s) != 2 or s[1:] != first[1:] for s in [first, *others]) and others:
        return first  # can't be joined; reported as of another shape
    return (sum(s[0] for s in [first, *others]), *first[1:]) if first else first


def _codec_of(filename: str) -> str:
    """The codec id in a published name, such as ``tokenizer-e351c8d8-checkpoint125``; else the usual id.

    Hibiki's codec is another checkpoint of the same shapes; only the name distinguishes it.
    """
    found = re.search(r"(?:mimi|tokenizer)\W(?:\w+\W)?([0-9a-f]{8})(?![0-9a-f])", filename)
    return f"mimi-{found[1]}" if found else MIMI


def _listed(names: list[str], what: str) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} {what} ({', '.join(names[:5])}{more})"
