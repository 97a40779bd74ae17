"""Checkpoints in another precision, streamed: neither file is ever in memory whole."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import torch

from .checkpoint import FORMAT, Checkpoint
from .devices import DTYPES, PRECISIONS
from .errors import MisoError
from .files import replacing
from .quantize import quantize, scale_name
from .weights import Progress, canonical_shapes

_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int8: "I8"}
_PIECE = 2**24  # numbers read at once


def convert(source: str | Path, target: str | Path, precision: str, progress: Progress | None = None) -> None:
    """Write a checkpoint of any layout as one file of ours (published names, config and fingerprint inside) in ``precision``.

    int8: the matrices of both stacks, the projection and the codebook-0 head with one scale a row; the rest is bf16. Needs memory for a
    few pieces of 64 MB, whatever the size. What is at ``target`` stays until the new file is whole.
    """
    if precision not in PRECISIONS:
        raise MisoError(f"There is no precision '{precision}'.", f"Use {', '.join(PRECISIONS)}.", input="precision")
    checkpoint = Checkpoint(source)
    dtype = DTYPES.get(precision, torch.bfloat16)
    plan: dict[str, tuple[torch.dtype, tuple[int, ...], str]] = {}  # name -> type, shape, and the tensor it is made of
    for name, shape in canonical_shapes(checkpoint.config).items():
        if precision == "int8" and len(shape) == 2 and "embeddings" not in name:
            plan[scale_name(name)] = torch.float32, shape[:1], name
            plan[name] = torch.int8, shape, name
        else:
            plan[name] = dtype, shape, name
    header, offset = {}, 0
    for name, (kind, shape, _) in plan.items():
        size = torch.Size(shape).numel() * kind.itemsize
        header[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    unknown = "0" * 32  # the fingerprint's place: its value is known when all is written
    header["__metadata__"] = {"format": FORMAT, "config": checkpoint.config.to_json(), "fingerprint": unknown}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256(checkpoint.config.to_json().encode())
    with replacing(target) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for done, (name, (kind, _, source_name)) in enumerate(plan.items()):
            if progress:
                progress(done, len(plan))
            for piece in checkpoint.pieces(source_name, _PIECE):
                piece = quantize(piece)[0] if kind == torch.int8 else quantize(piece)[1] if name != source_name else piece.to(kind)
                data = piece.contiguous().view(torch.uint8).numpy()
                digest.update(data)
                file.write(data)
        file.seek(8 + text.index(unknown.encode()))
        file.write(digest.hexdigest()[:32].encode())
    if progress:
        progress(len(plan), len(plan))
