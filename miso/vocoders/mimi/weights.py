"""Mimi from and to safetensors files: any layout of ``layouts``, sizes read off the tensors, all checked before loading."""

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
_EPSILON = 1e-5  # least count of a codebook entry, as published
_ENCODER = (
    "encoder.",
    "encoder_transformer.",
    "downsample.",
)  # what only encoding uses, and, if there, the quantizer's
_ENCODING = (*_ENCODER, "quantizer.rvq_first.input_proj.", "quantizer.rvq_rest.input_proj.")
_MARK = "._codebook._initialized"  # of training; nothing to us


@dataclass(frozen=True)
class MimiFile:
    """A checked Mimi file: everything its codec needs is there, in the right shapes."""

    path: Path
    config: MimiConfig
    codec: str
    has_encoder: bool
    sources: Sources  # published name -> names in the file

    def read(self, file, name: str) -> Tensor:
        """The published tensor ``name`` from the file opened by ``open_tensors``: mapped memory until it is copied."""
        return join([file.get_tensor(part) for part in self.sources[name]], self.config.heads)

    def codebook(self, file, prefix: str) -> Tensor:
        """The vectors [size, dim] of one codebook in fp32; to be cast, if at all, after this division."""
        total, count = self.read(file, f"{prefix}embedding_sum"), self.read(file, f"{prefix}cluster_usage")
        return total.float() / count.float().clamp(min=_EPSILON)[:, None]


def inspect_mimi(path: str | os.PathLike) -> MimiFile:
    """What a file holds, from its header alone. Raises MisoError for pickles, cut files, other families, and tensors that are
    missing, unknown or of another shape, all in one list."""
    path = Path(path)
    metadata, entries = read_header(path)
    found = sources(entries)
    if found is None:
        raise MisoError(
            f"{path.name} is not a Mimi codec: none of its {len(entries)} tensors has a name of one.",
            "Choose the codec's own file, such as tokenizer-e351c8d8-checkpoint125.safetensors or model.safetensors "
            "of kyutai/mimi.",
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
    known = set(expected) | {name for name in found if name.endswith(_MARK)}
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
        lists = [
            _listed(missing, "missing"),
            _listed(extra, "unknown"),
            _listed(misshapen, "of another shape"),
        ]
        raise MisoError(
            f"{path.name} does not fit a Mimi codec of {config.codebooks} codebooks: {'; '.join(filter(None, lists))}.",
            "The file is incomplete or of another codec: download it again, or choose another.",
        )
    codec = metadata.get("codec") if ours else None
    return MimiFile(path, config, codec or _codec_of(path.name), has_encoder, found)


def load_mimi(
    path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Mimi:
    """A codec from a safetensors file of any layout, tensor by tensor into a module without memory of its own.

    ``dtype`` is that of decoding; encoder and codebooks stay fp32 (see ``Mimi.decoder_to``). Raises MisoError as
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
            # a copy even where nothing changes: mapped memory would tie the module to the file
            state[name] = weights.to(device, dtype if decoding else torch.float32, copy=True)
    mimi.load_state_dict(state, assign=True)
    return mimi.eval()


def save_mimi(path: str | os.PathLike, mimi: Mimi, codec: str | None = None) -> None:
    """Write a codec under its published names, with its sizes and codec id in the metadata.

    A codebook is written as its vectors with a count of one each, which divides back to the same bits.
    """
    codec = codec or mimi.codec
    if not codec:
        raise MisoError(
            "A codec file needs a codec id, so that its codes can be told from those of other codecs."
        )
    metadata = {"format": FORMAT, "config": mimi.config.to_json(), "codec": codec}
    write_tensors(path, published_tensors(mimi), metadata)


def published_tensors(mimi: Mimi) -> dict[str, Tensor]:
    """A codec's weights under their published names, on the CPU."""
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
    """Published name -> shape of every tensor a codec of these sizes needs."""
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
    """Sizes of a published file from its shapes. Where a tensor is absent the default stands, and is then found missing."""
    default = MimiConfig()

    def count(pattern: str) -> int:
        return len({m[1] for name in shapes if (m := re.match(pattern, name))})

    def size(name: str, axis: int, otherwise: int) -> int:
        shape = shapes.get(name, ())
        return shape[axis] if len(shape) > axis else otherwise

    tops = {int(m[1]) for name in shapes if (m := re.match(r"decoder\.model\.(\d+)\.", name))}
    last = max(tops)  # there is one, or the file would not have been taken for a Mimi
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
        # first and last convolution with an activation each side, then activation, upsampling and blocks at each ratio
        residual_layers=(last - 2) // len(ups) - 2 if ups else default.residual_layers,
        compress=size("decoder.model.3.block.1.conv.conv.weight", 1, 0) // inner
        if inner
        else default.compress,
        dim=dim,
        heads=max(dim // 64, 1),  # can't be read off; 64 is the published head size
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
        return first  # can't be joined: reported as misshapen
    return (sum(s[0] for s in [first, *others]), *first[1:]) if first else first


def _codec_of(filename: str) -> str:
    """The codec id in a published file's name (``tokenizer-e351c8d8-checkpoint125``), else that of the common checkpoint.

    Hibiki's codec is another checkpoint of the same shape; only its name can tell.
    """
    found = re.search(r"(?:mimi|tokenizer)\W(?:\w+\W)?([0-9a-f]{8})(?![0-9a-f])", filename)
    return f"mimi-{found[1]}" if found else MIMI


def _listed(names: list[str], what: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} {what} ({', '.join(names[:5])}{more})"
