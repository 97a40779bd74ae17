"""Persistent frames for more takes than one kernel can compute."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...errors import MisoError
from ...model.networks import Backbone
from ...model.sampling import Sampling
from ..depth import DepthSampler
from ..frame import FrameState
from ..graph import GraphFrame
from .program import SharedMemoryError
from .step import MAX_TAKES, PersistentFrame


def persistent_frame(
    backbone: Backbone,
    depth: DepthSampler,
    sampling: Sampling,
    state: FrameState,
    make: Callable[..., PersistentFrame] = PersistentFrame,
) -> PersistentFrame | SplitFrame:
    """One kernel for all takes of the state, or a kernel for each of as few groups of takes as can be.

    A kernel computes up to ``MAX_TAKES`` takes, and fewer where a multiprocessor has little shared memory.
    Raises MisoError if it can't compute even one.
    """
    takes = len(state.x)
    for groups in range(-(-takes // MAX_TAKES), takes + 1):
        try:
            if groups == 1:
                return make(backbone, depth, sampling, state)
            return SplitFrame(backbone, depth, sampling, state, -(-takes // groups), make)
        except SharedMemoryError as e:
            error: MisoError = e
    raise error


def persistent_graph(
    backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState
) -> GraphFrame:
    """The same as a graph: one launch per frame."""
    return GraphFrame(persistent_frame(backbone, depth, sampling, state))


class SplitFrame:
    """Draws one frame of every take, ``size`` takes at a time: the weights are read once for each group."""

    def __init__(
        self,
        backbone: Backbone,
        depth: DepthSampler,
        sampling: Sampling,
        state: FrameState,
        size: int,
        make: Callable[..., PersistentFrame] = PersistentFrame,
    ):
        self.state = state
        self._groups = [
            (slice(start, start + size), make(backbone, depth, sampling, _group(state, start, start + size)))
            for start in range(0, len(state.x), size)
        ]

    @torch.inference_mode()
    def __call__(self, window: int | None = None) -> None:
        s = self.state
        for takes, frame in self._groups:
            part = frame.state
            part.position.copy_(s.position)
            part.counter.copy_(s.counter)
            frame()
            for table, rows in ((s.codes, part.codes), (s.log_p, part.log_p), (s.hidden, part.hidden)):
                table[:, takes].index_copy_(0, s.counter, rows.index_select(0, s.counter))
        s.position.add_(1)
        s.counter.add_(1)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Pieces of a frame to be timed alone: none, as in ``PersistentFrame``."""
        return {}


def _group(state: FrameState, start: int, end: int) -> FrameState:
    """The state of some takes: rows, cache and numbers in the same memory, tables of its own."""

    def own(table: Tensor) -> Tensor:
        return torch.zeros_like(table[:, start:end], memory_format=torch.contiguous_format)

    return FrameState(
        x=state.x[start:end],
        position=torch.zeros_like(state.position),
        counter=torch.zeros_like(state.counter),
        least=state.least,
        u=state.u[start:end],
        codes=own(state.codes),
        log_p=own(state.log_p),
        hidden=own(state.hidden),
        cache=state.cache.takes(start, end),
    )
