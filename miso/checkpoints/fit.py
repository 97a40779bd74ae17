"""Which precision a model is loaded in where nobody says: what fits into the device's memory, and a sentence that says why."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..model.config import ModelConfig
from .build import TEXT, canonical_shapes
from .checkpoint import Checkpoint
from .devices import Precision, has_fp8, pick_precision
from .quantize import bytes_held
from .summary import CheckpointSummary

_WORKING = 0.75e9  # activations of a long prompt, a matrix in full size, a true Mimi, PyTorch's own; for models of some GB, less for smaller ones
_CPU_WHOLE = 4e9  # fp32 bytes below which a CPU, which has no use for fewer bits but memory, gets a quantised model multiplied out
_BUS = (
    12e9  # bytes a second from the CPU's memory to a card: what PCIe 3.0 x16 or 4.0 x8 gives, an assumption
)


class Choice(NamedTuple):
    precision: Precision
    because: str  # a clause, for people
    on_cpu: int = 0  # layers of the backbone to be kept on the CPU


def choose_precision(
    name: str, checkpoint: Checkpoint | CheckpointSummary, device: torch.device, memory: int | None = None
) -> Choice:
    """The precision of that name; for ``auto`` the most exact one that a device with ``memory`` bytes (what a GPU has free, if None) holds.

    If not even the smallest fits, as few layers of the backbone as need be are to stay on the CPU. What is named is loaded whole.
    """
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
    if device.type != "cuda":
        return Choice(
            Precision(usual.dtype, stored), "as the file has it" if stored else f"usual on {device.type}"
        )
    if memory is None:
        memory = torch.cuda.mem_get_info(device)[0]
    # fp8 takes what int8 takes and is less exact (see ``quantize``)
    for weights in dict.fromkeys((stored, "int4") if stored else ("", "int8", "int4")):
        precision = Precision(usual.dtype, weights)
        need = bytes_needed(config, precision)
        if need <= memory:
            return Choice(
                precision,
                "as the file has it"
                if weights and weights == stored
                else f"{memory / 1e9:.1f} GB of device memory hold it: it needs {need / 1e9:.1f} GB",
            )
    layer, layers = layer_bytes(config, precision), config.backbone.layers
    on_cpu = min(
        layers, math.ceil((need - memory) / layer) + 1
    )  # one more than is missing: there is room for one on its way
    because = (
        f"the smallest there is; it needs {need / 1e9:.1f} GB, more than the device's {memory / 1e9:.1f} GB. {on_cpu} of the backbone's "
        f"{layers} layers stay on the CPU, so that a frame ({1000 / config.frame_rate:.0f} ms of sound) takes about "
        f"{on_cpu * layer / _BUS:.2f} s more: an estimate, which assumes that {_BUS / 1e9:.0f} GB/s of weights reach the device"
    )
    if bytes_needed(config, precision, on_cpu) > memory:
        because += "; even so it may not load"
    return Choice(precision, because, on_cpu)


def bytes_needed(config: ModelConfig, precision: Precision, on_cpu: int = 0) -> int:
    """Device memory of a model in use: weights (but for text embeddings, and for ``on_cpu`` layers, one of which is on its way at a time), one
    take's keys and values at all positions, and working memory."""
    shapes = {name: shape for name, shape in canonical_shapes(config).items() if name != TEXT}
    held = bytes_held(config, shapes, precision.dtype, precision.weights)
    stack = config.backbone
    cache = 2 * stack.layers * stack.kv_heads * stack.head_dim * config.positions * precision.dtype.itemsize
    return int(held + cache + min(_WORKING, held / 4)) - max(0, on_cpu - 1) * layer_bytes(config, precision)


def layer_bytes(config: ModelConfig, precision: Precision) -> int:
    """Weights of one layer of the backbone."""
    layer = {
        name: shape
        for name, shape in canonical_shapes(config).items()
        if name.startswith("backbone.layers.0.")
    }
    return bytes_held(config, layer, precision.dtype, precision.weights) - bytes_held(
        config, {}, precision.dtype, precision.weights
    )
