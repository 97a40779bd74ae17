"""The paths that compute a frame, and which of them serves a run.

``plain`` is eager PyTorch, for every device. ``graph`` replays the plain frame as one CUDA graph.
``persistent`` is one CUDA kernel for the whole frame, compiled by NVRTC, which comes with PyTorch. Both are
tested against ``plain``.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..errors import MisoError
from ..model.config import ModelConfig
from ..model.networks import Backbone
from ..model.sampling import Sampling
from .depth import DepthSampler
from .frame import FrameState, PlainFrame
from .graph import GraphFrame, graph_frame
from .persistent.split import persistent_graph
from .persistent.step import unsupported
from .trial import Verdict, choose_path

_ROWS_STEP = 256


class FramePath(ABC):
    """One way to compute frames. Registered by name in ``PATHS``."""

    name: str

    @staticmethod
    @abstractmethod
    def unsupported(backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
        """Why this path can't compute ``takes`` takes on the weights' device, as a clause; None if it can."""

    @staticmethod
    @abstractmethod
    def make(
        backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState
    ) -> PlainFrame | GraphFrame:
        """A callable that draws one frame of every take from ``state`` and writes the result there."""


class PlainPath(FramePath):
    name = "plain"

    @staticmethod
    def unsupported(backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
        return None

    @staticmethod
    def make(backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState) -> PlainFrame:
        return PlainFrame(backbone, depth, sampling, state)


class GraphPath(FramePath):
    name = "graph"

    @staticmethod
    def unsupported(backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
        # A graph holds addresses; an offloaded layer has other addresses at each call.
        if backbone.bytes_on_cpu:
            return (
                f"{backbone.bytes_on_cpu / 1e9:.1f} GB of the backbone's layers stay on the CPU, because the "
                "device's memory can't hold them"
            )
        device = _device(backbone)
        if device.type != "cuda" or not isinstance(depth, DepthSampler):
            return f"a CUDA graph needs CUDA; the backbone is on {device.type}"
        return None

    @staticmethod
    def make(backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState) -> GraphFrame:
        return graph_frame(backbone, depth, sampling, state)


class PersistentPath(FramePath):
    name = "persistent"

    @staticmethod
    def unsupported(backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
        if reason := GraphPath.unsupported(backbone, depth, takes):
            return reason
        if torch.cuda.get_device_capability(_device(backbone)) < (8, 0):
            return "it needs a GPU of compute capability 8.0 or more (RTX 30, A100 or newer)"
        return unsupported(backbone, depth, takes)

    @staticmethod
    def make(backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState) -> GraphFrame:
        return persistent_graph(backbone, depth, sampling, state)


PATHS: dict[str, type[FramePath]] = {path.name: path for path in (PersistentPath, GraphPath, PlainPath)}


def needs_pytorch(sampling: Sampling, depth_sampling: Sampling, min_frames: int) -> str | None:
    """Why the persistent kernel can't draw so, as a clause; None if it can."""
    if not (sampling.plain and depth_sampling.plain):
        return "top_p and min_p need PyTorch"
    if sampling.repetition_penalty != 1:
        return "a repetition penalty needs PyTorch"
    return "a least length needs PyTorch" if min_frames else None


def check_path(name: str) -> None:
    """Raise MisoError if there is no such path."""
    if name not in ("auto", *PATHS):
        raise MisoError(f"There is no path '{name}'.", f"Use auto, {', '.join(sorted(PATHS))}.", input="path")


def pick_path(
    name: str, backbone: Backbone, depth: DepthSampler, takes: int, no_kernel: str | None = None
) -> Verdict:
    """A path that can compute ``takes`` takes, and why: the one named, or the fastest one for ``auto``.

    ``no_kernel``: why the persistent kernel can't serve the run (see ``needs_pytorch``).
    ``auto`` tries the persistent kernel once on each card (see ``trial``); it is the path that the
    environment variable ``MISO_PATH`` names, if it is set. Raises MisoError if the name is unknown, or the
    named path can't be used with this model on its device.
    """
    if name == "auto":
        name = os.environ.get("MISO_PATH", "auto")
    if name == "auto":
        no_kernel = no_kernel or PersistentPath.unsupported(backbone, depth, takes)
        if no_kernel is None:
            return choose_path(backbone, depth, takes)
        no_graph = GraphPath.unsupported(backbone, depth, takes)
        return Verdict(PlainPath.name, no_graph) if no_graph else Verdict(GraphPath.name, no_kernel)
    check_path(name)
    reason = no_kernel if name == PersistentPath.name else None
    if reason := reason or PATHS[name].unsupported(backbone, depth, takes):
        raise MisoError(f"The path '{name}' can't be used here: {reason}.", "Use auto.", input="path")
    return Verdict(name, "as asked for")


@contextmanager
def borrow_frame(
    path: str,
    backbone: Backbone,
    depth: DepthSampler,
    sampling: Sampling,
    takes: int,
    rows: int,
    frames: int,
    apart: bool = False,
) -> Iterator[PlainFrame | GraphFrame]:
    """A frame of the named path with room for ``frames`` frames and ``rows`` positions, until the block ends.

    ``apart``: each take is at a place of its own, which the persistent kernel can't compute.
    A recorded frame stays on the backbone (``kept_frame``) for the next run that it fits; one run at a time
    uses it. Moving the backbone drops it, since a graph holds memory and the addresses of all weights that it
    reads.
    """
    if path == PlainPath.name:
        state = FrameState.make(backbone, depth, takes, rows, frames, apart)
        yield PlainPath.make(backbone, depth, sampling, state)
        return
    rows = _capacity(rows, backbone.config.positions)

    def key() -> tuple:
        settings = (path, depth.sampling, depth.codebooks, sampling, takes, rows, apart)
        return *settings, *_addresses(backbone), *_addresses(depth.decoder)

    # Taken off the backbone while in use: a second run makes its own.
    kept: Any = backbone.kept_frame
    backbone.kept_frame = None
    if kept is None or kept[0] != key():
        del kept  # free its memory before allocating as much again
        state = FrameState.make(backbone, depth, takes, rows, rows, apart)
        frame = PATHS[path].make(backbone, depth, sampling, state)
        kept = key(), frame  # the key is taken after ``make``, which may change a matrix's layout
    try:
        yield kept[1]
    finally:
        backbone.kept_frame = kept


def state_bytes(config: ModelConfig, takes: int, rows: int, dtype: torch.dtype) -> int:
    """Bytes of a recorded frame's state, and of a prompt that is kept for the next run.

    The state has caches, hidden states, codes and uniform numbers of ``rows`` rows.
    """
    stack, rows = config.backbone, _capacity(rows, config.positions)
    cache = 2 * stack.layers * stack.kv_heads * stack.head_dim * dtype.itemsize
    tables = stack.dim * dtype.itemsize + config.codebooks * (torch.float32.itemsize + torch.int64.itemsize)
    return takes * rows * (cache + tables) + rows * cache


def _capacity(rows: int, positions: int) -> int:
    """Rows of a recorded frame: a multiple of ``_ROWS_STEP``, so that runs of similar length share it."""
    return min(-(-rows // _ROWS_STEP) * _ROWS_STEP, positions)


def _device(backbone: Backbone) -> torch.device:
    return backbone.audio_embeddings.weight.device


def _addresses(module: nn.Module) -> list[int]:
    # not named_parameters(): building the names takes longer than everything else here
    tables = (table for part in module.modules() for table in (part._parameters, part._buffers))
    return [t.data_ptr() for table in tables for t in table.values() if t is not None]
