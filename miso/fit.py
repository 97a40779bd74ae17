"""Which precision a model is loaded in where nobody says: what fits into the device's memory, and a sentence that says why."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .checkpoint import Checkpoint
from .config import ModelConfig
from .devices import Precision, has_fp8, pick_precision
from .known import KnownCheckpoint
from .quantize import bytes_held
from .weights import canonical_shapes

_WORKING = 0.75e9  # activations of a long prompt, a matrix in full size, a true Mimi, PyTorch's own; for models of some GB, less for smaller ones
_CPU_WHOLE = 4e9  # fp32 bytes below which a CPU, which has no use for fewer bits but memory, gets a quantised model multiplied out


class Choice(NamedTuple):
    precision: Precision
    because: str  # a clause, for people


def choose(name: str, checkpoint: Checkpoint | KnownCheckpoint, device: torch.device, memory: int | None = None) -> Choice:
    """The precision of that name; for ``auto`` the most exact one that a device with ``memory`` bytes (what a GPU has free, if None) holds."""
    if name != "auto":
        return Choice(pick_precision(name, device), "as asked for")
    usual, stored, config = pick_precision("auto", device), checkpoint.weights, checkpoint.config
    if device.type == "cpu":
        whole = bytes_held(config, canonical_shapes(config), usual.dtype, "")
        if stored and whole >= _CPU_WHOLE:
            return Choice(Precision(usual.dtype, stored), "as the file has it, to save memory")
        return Choice(usual, "the CPU is fastest at it")
    if stored == "fp8" and not has_fp8(device):
        return Choice(Precision(usual.dtype, "int8"), f"the file has fp8, which {device.type} hasn't")
    if stored:
        return Choice(Precision(usual.dtype, stored), "as the file has it")
    if device.type != "cuda":
        return Choice(usual, f"usual on {device.type}")
    if memory is None:
        memory = torch.cuda.mem_get_info(device)[0]
    # fp8 takes what int8 takes and is less exact (see ``quantize``)
    for precision in (usual, Precision(usual.dtype, "int8"), Precision(usual.dtype, "int4")):
        need = bytes_needed(config, precision)
        if need <= memory:
            return Choice(precision, f"{memory / 1e9:.1f} GB of device memory hold it: it needs {need / 1e9:.1f} GB")
    return Choice(precision, f"the smallest there is; it needs {need / 1e9:.1f} GB, more than the device's {memory / 1e9:.1f} GB, and may not load")


def bytes_needed(config: ModelConfig, precision: Precision) -> int:
    """Device memory of a model in use: weights, one take's keys and values at all positions, and working memory."""
    held = bytes_held(config, canonical_shapes(config), precision.dtype, precision.weights)
    stack = config.backbone
    cache = 2 * stack.layers * stack.kv_heads * stack.head_dim * config.positions * precision.dtype.itemsize
    return int(held + cache + min(_WORKING, held / 4))
