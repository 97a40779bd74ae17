"""Which way a frame is computed: plain PyTorch, the same recorded as a CUDA graph, or one kernel of our own inside such a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .depth import DepthSampler
from .errors import MisoError
from .graph import GraphFrame
from .model import Backbone
from .sampling import Sampling
from .step import FrameState, PlainFrame

PATHS = ("plain", "graph", "persistent")
_MEASURED = 9  # compute capability, major: where auto takes the persistent kernel, since there it was measured to be faster than all else
_ROUND = 256  # positions: so many share a graph
_MOST_TAKES = 8  # of kernels of our own: the rows of a tensor core's tile, or half of them


def pick_path(name: str, backbone: Backbone, depth: DepthSampler, takes: int) -> str:
    """The path of that name; ``auto`` is the fastest known wherever there is CUDA and on it the whole backbone: on Hopper GPUs the persistent
    kernel, if it serves these weights, else the graph."""
    device = backbone.audio_embeddings.weight.device
    no_graph = None
    if backbone.bytes_on_cpu:  # a layer on its way has another address each time
        no_graph = f"{backbone.bytes_on_cpu / 1e9:.1f} GB of the backbone's layers stay on the CPU, where the device's memory doesn't hold them"
    elif device.type != "cuda" or not isinstance(depth, DepthSampler):
        no_graph = f"a CUDA graph needs CUDA; the backbone is on {device.type}"
    if name == "auto":
        if no_graph:
            return "plain"
        measured = torch.cuda.get_device_capability(device)[0] == _MEASURED
        return "persistent" if measured and not _no_kernels("persistent", backbone, depth, takes) else "graph"
    if name not in PATHS:
        raise MisoError(f"There is no path '{name}'.", f"Use auto, {', '.join(PATHS)}.", input="path")
    reason = None if name == "plain" else no_graph or _no_kernels(name, backbone, depth, takes)
    if reason:
        raise MisoError(f"The path '{name}' can't be taken here: {reason}.", "Use auto.", input="path")
    return name


def _no_kernels(path: str, backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
    """Why kernels of our own can't serve, or None."""
    if path != "persistent":
        return None
    from .persistent.step import unsupported

    if torch.cuda.get_device_capability(backbone.audio_embeddings.weight.device) < (8, 0):
        return "it needs a GPU of compute capability 8.0 or more (RTX 30, A100 or newer)"
    if takes > _MOST_TAKES:
        return f"it serves up to {_MOST_TAKES} takes at once"
    return unsupported(backbone, depth, takes)


@contextmanager
def lent(path: str, backbone: Backbone, depth: DepthSampler, sampling: Sampling, takes: int, rows: int,
         frames: int) -> Iterator[PlainFrame | GraphFrame]:
    """A frame to be run, with room for ``frames`` of ``takes`` among ``rows`` positions, until the block ends.

    A recorded one is kept on the backbone for the next run that fits it, one at a time, and goes when the backbone is moved: a
    graph holds memory, and the addresses of all it reads.
    """
    if path == "plain":
        yield PlainFrame(backbone, depth, sampling, FrameState.make(backbone, depth, takes, rows, frames))
        return
    rows = min(-(-rows // _ROUND) * _ROUND, backbone.config.positions)

    def key() -> tuple:
        return path, depth.sampling, depth.codebooks, sampling, takes, rows, *_addresses(backbone), *_addresses(depth.decoder)

    kept, backbone.kept_frame = backbone.kept_frame, None  # taken away while in use: another run makes its own
    if kept is None or kept[0] != key():
        del kept  # its memory, before as much again is asked for
        state = FrameState.make(backbone, depth, takes, rows, rows)
        if path == "persistent":
            from .persistent.step import PersistentFrame as Step
        else:
            Step = PlainFrame
        recorded = GraphFrame(Step(backbone, depth, sampling, state))
        kept = key(), recorded  # only now: a step may have laid a matrix out anew, elsewhere
    try:
        yield kept[1]
    finally:
        backbone.kept_frame = kept


def _addresses(module: torch.nn.Module) -> list[int]:
    tables = (table for part in module.modules() for table in (part._parameters, part._buffers))  # without names, which take longer than the rest
    return [t.data_ptr() for table in tables for t in table.values() if t is not None]
