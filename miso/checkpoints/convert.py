"""Checkpoints in another precision, streamed: neither file is ever in memory whole."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import torch

from ..errors import MisoError
from ..files import replacing
from ..progress import Progress
from .build import canonical_shapes
from .checkpoint import FORMAT, SAFETENSORS_TYPES, Checkpoint
from .devices import DTYPES, PRECISIONS
from .quantize import field_name, field_specs, kind_of, requantize

_PIECE = 2**24  # numbers read at once


def convert_checkpoint(
    source: str | Path, target: str | Path, precision: str, progress: Progress | None = None
) -> None:
    """Write a checkpoint of any layout as one file of ours (published names, config and fingerprint inside) in ``precision``.

    int8, fp8 and int4 are of matrices (see ``quantize.kind_of``); the rest is then bf16. Needs memory for a few pieces of 64 MB, whatever the
    size. What is at ``target`` stays until the new file is whole.
    """
    if precision not in PRECISIONS:
        raise MisoError(
            f"There is no precision '{precision}'.", f"Use {', '.join(PRECISIONS)}.", input="precision"
        )
    checkpoint = Checkpoint(source)
    dtype = DTYPES.get(precision, torch.bfloat16)
    weights = "" if precision in DTYPES else precision
    plan = []  # published name, and its kind of quantisation
    header, offset = {}, 0
    for name, shape in canonical_shapes(checkpoint.config).items():
        kind = kind_of(name, shape, weights)
        plan.append((name, kind))
        fields = (
            {field_name(name, f): what for f, what in field_specs(kind, shape).items()}
            if kind
            else {name: (dtype, shape)}
        )
        for field, (number, size) in fields.items():
            length = torch.Size(size).numel() * number.itemsize
            header[field] = {
                "dtype": SAFETENSORS_TYPES[number],
                "shape": list(size),
                "data_offsets": [offset, offset + length],
            }
            offset += length
    unknown = "0" * 32  # the fingerprint's place: its value is known when all is written
    header["__metadata__"] = {"format": FORMAT, "config": checkpoint.config.to_json(), "fingerprint": unknown}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256(checkpoint.config.to_json().encode())
    with replacing(target) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)

        def write(tensor: torch.Tensor) -> None:
            data = tensor.contiguous().view(torch.uint8).numpy()
            digest.update(data)
            file.write(data)

        for done, (name, kind) in enumerate(plan):
            if progress:
                progress(done, len(plan))
            rest = []  # of a quantised matrix: scales and zeros, small, which follow the whole weight
            for piece in checkpoint.pieces(name, _PIECE):
                piece = requantize(piece, kind)
                if kind:
                    piece, *others = (t for t in piece if t is not None)
                    rest.append(others)
                write(piece if kind else piece.to(dtype))
            for field in zip(*rest):
                write(torch.cat(field))
        file.seek(8 + text.index(unknown.encode()))
        file.write(digest.hexdigest()[:32].encode())
    if progress:
        progress(len(plan), len(plan))
