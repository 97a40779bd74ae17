"""The default precision of a model: the most exact one that fits into the device's memory."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..model.config import ModelConfig
from ..model.networks import Backbone, DepthDecoder
from .build import TEXT, canonical_shapes, network_shapes
from .checkpoint import Checkpoint
from .devices import Precision, has_fp8, pick_precision
from .quantize import weight_bytes
from .summary import CheckpointSummary

# bytes for activations of a long prompt, one dequantised matrix, a full-size Mimi and PyTorch itself, for
# models of some GB; smaller models need less
_WORKING = 1.0e9
# bytes in fp32 below which a CPU dequantises a quantised model on loading: quantised weights save it memory,
# not time
_CPU_WHOLE = 4e9
# bytes per second from the CPU's memory to a GPU, assumed: what PCIe 3.0 x16 or 4.0 x8 reaches
_BUS = 12e9


class Choice(NamedTuple):
    precision: Precision
    because: str  # a clause for people
    on_cpu: int = 0  # layers of the backbone to keep on the CPU


def choose_precision(
    name: str, checkpoint: Checkpoint | CheckpointSummary, device: torch.device, memory: int | None = None
) -> Choice:
    """The precision of that name; for ``auto`` the most exact one that fits into ``memory`` bytes.

    ``memory`` defaults to what a CUDA device has free. If even the smallest precision does not fit, as few
    layers of the backbone as necessary stay on the CPU. A precision named explicitly is loaded whole.
    """
    if name != "auto":
        return Choice(pick_precision(name, device), "as asked for")
    usual, stored, config = pick_precision("auto", device), checkpoint.weights, checkpoint.config
    if device.type == "cpu":
        unquantized = weight_bytes(canonical_shapes(config), usual.dtype, "") + _table_bytes(config, usual)
        if stored and unquantized >= _CPU_WHOLE:
            return Choice(Precision(usual.dtype, stored), "as stored in the file, to save memory")
        return Choice(usual, "the CPU is fastest at it")
    if stored == "fp8" and not has_fp8(device):
        return Choice(
            Precision(usual.dtype, "int8"), f"the file has fp8, which {device.type} does not support"
        )
    if device.type != "cuda":
        because = "as stored in the file" if stored else f"usual on {device.type}"
        return Choice(Precision(usual.dtype, stored), because)
    if memory is None:
        memory = torch.cuda.mem_get_info(device)[0]
    # fp8 takes as much memory as int8 and is less exact (see ``quantize``)
    for weights in dict.fromkeys((stored, "int4") if stored else ("", "int8", "int4")):
        precision = Precision(usual.dtype, weights)
        needed = bytes_needed(config, precision)
        if needed <= memory:
            because = f"it needs {needed / 1e9:.1f} GB of the device's {memory / 1e9:.1f} GB"
            return Choice(precision, "as stored in the file" if weights and weights == stored else because)
    return _offloaded(config, precision, memory)


def _offloaded(config: ModelConfig, precision: Precision, memory: int) -> Choice:
    """Keep as many layers of the backbone on the CPU as are needed to fit into ``memory`` bytes."""
    needed = bytes_needed(config, precision)
    layer, layers = layer_bytes(config, precision), config.backbone.layers
    # one more than is missing, to leave space for the layer that is being copied
    on_cpu = min(layers, math.ceil((needed - memory) / layer) + 1)
    because = (
        f"the smallest precision; it needs {needed / 1e9:.1f} GB, and the device has {memory / 1e9:.1f} GB. "
        f"{on_cpu} of the backbone's {layers} layers stay on the CPU, so that a frame "
        f"({1000 / config.frame_rate:.0f} ms of sound) takes about {on_cpu * layer / _BUS:.2f} s more: "
        f"an estimate, which assumes that {_BUS / 1e9:.0f} GB of weights reach the device per second"
    )
    if bytes_needed(config, precision, on_cpu) > memory:
        because += "; even so it may not load"
    return Choice(precision, because, on_cpu)


def bytes_needed(config: ModelConfig, precision: Precision, on_cpu: int = 0) -> int:
    """Device memory of a model in use: weights, one take's KV cache at all positions, working memory.

    Text embeddings and ``on_cpu`` layers of the backbone are not counted, except for one of these layers,
    because one at a time is copied to the device.
    """
    weights = sum(network_bytes(network, config, precision) for network in (Backbone, DepthDecoder))
    stack = config.backbone
    cache = 2 * stack.layers * stack.kv_heads * stack.head_dim * config.positions * precision.dtype.itemsize
    working = min(_WORKING, weights / 4)
    return int(weights + cache + working) - max(0, on_cpu - 1) * layer_bytes(config, precision)


def layer_bytes(config: ModelConfig, precision: Precision) -> int:
    """Memory of the weights of one layer of the backbone, in bytes."""
    shapes = canonical_shapes(config).items()
    layer = {name: shape for name, shape in shapes if name.startswith("backbone.layers.0.")}
    return weight_bytes(layer, precision.dtype, precision.weights)


def network_bytes(
    network: type[Backbone] | type[DepthDecoder], config: ModelConfig, precision: Precision, on_cpu: int = 0
) -> int:
    """Memory of a network's weights on a GPU, in bytes, with ``on_cpu`` layers of it in the CPU's memory."""
    shapes = {name: shape for name, shape in network_shapes(network, config).items() if name != TEXT}
    weights = weight_bytes(shapes, precision.dtype, precision.weights)
    table = _table_bytes(config, precision) if network is DepthDecoder else 0
    return weights + table - on_cpu * layer_bytes(config, precision)


def _table_bytes(config: ModelConfig, precision: Precision) -> int:
    """Of the depth decoder's code table, which is in no file."""
    return (config.codebooks - 1) * config.audio_vocab * config.depth.dim * precision.dtype.itemsize
