"""Conversion of checkpoints to another precision, streamed: neither file is ever in memory as a whole."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch

from ..errors import MisoError
from ..files import replacing, tensor_bytes
from ..model.config import ModelConfig
from ..progress import Progress
from .build import canonical_shapes
from .checkpoint import FORMAT, SAFETENSORS_TYPES, Checkpoint
from .devices import DTYPES, PRECISIONS
from .quantize import dequantized, field_name, field_specs, kind_of, requantized

_PIECE = 2**24  # numbers read at once


def convert_checkpoint(
    source: str | Path, target: str | Path, precision: str, progress: Progress | None = None
) -> None:
    """Write a checkpoint of any layout as one file of ours in ``precision``.

    int8, fp8 and int4 apply to matrices (see ``quantize.kind_of``); the rest is then bf16. Needs memory for a
    few pieces of 64 MB, whatever the model's size. A file at ``target`` is replaced when the new one is
    complete. ``progress`` counts tensors. Raises MisoError for an unknown precision or an unreadable source.
    """
    if precision not in PRECISIONS:
        raise MisoError(
            f"There is no precision '{precision}'.", f"Use {', '.join(PRECISIONS)}.", input="precision"
        )
    checkpoint = Checkpoint(source)
    dtype = DTYPES.get(precision, torch.bfloat16)
    weights = "" if precision in DTYPES else precision
    shapes = canonical_shapes(checkpoint.config)
    kinds = {name: kind_of(name, shape, weights) for name, shape in shapes.items()}
    header = _header(checkpoint.config, shapes, kinds, dtype)
    with replacing(target) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)

        def write(tensor: torch.Tensor) -> None:
            file.write(tensor_bytes(tensor))

        for done, (name, kind) in enumerate(kinds.items()):
            if progress:
                progress(done, len(kinds))
            scales = []  # of each piece: scale, and zero if any; small, written after the whole weight
            for piece in checkpoint.pieces(name, _PIECE):
                if kind:
                    weight, *others = (field for field in requantized(piece, kind) if field is not None)
                    write(weight)
                    scales.append(others)
                else:
                    write(dequantized(piece).to(dtype))
            for parts in zip(*scales):
                write(torch.cat(parts))
    if progress:
        progress(len(kinds), len(kinds))


def _header(
    config: ModelConfig, shapes: dict[str, tuple[int, ...]], kinds: dict[str, str], dtype: torch.dtype
) -> bytes:
    """The safetensors header of the converted file, padded to 8 bytes."""
    header: dict[str, dict] = {}
    offset = 0
    for name, kind in kinds.items():
        fields = {name: (dtype, shapes[name])}
        if kind:
            specs = field_specs(kind, shapes[name])
            fields = {field_name(name, field): spec for field, spec in specs.items()}
        for field, (field_dtype, shape) in fields.items():
            end = offset + torch.Size(shape).numel() * field_dtype.itemsize
            header[field] = {
                "dtype": SAFETENSORS_TYPES[field_dtype],
                "shape": list(shape),
                "data_offsets": [offset, end],
            }
            offset = end
    header["__metadata__"] = {"format": FORMAT, "config": config.to_json()}
    text = json.dumps(header).encode()
    return text + b" " * (-len(text) % 8)
