"""A frame recorded as a CUDA graph and replayed: one launch per frame instead of thousands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import torch

from ..checkpoints.quantized_linear import QuantizedLinear, unquantized
from ..model.networks import Backbone
from ..model.sampling import Sampling
from .depth import DepthSampler
from .frame import FrameState, PlainFrame


class Step(Protocol):
    """A step on a ``FrameState``, such as ``PlainFrame``."""

    state: FrameState

    def __call__(self, window: int | None = None) -> None: ...

    def parts(self) -> dict[str, Callable[[], object]]: ...


def graph_frame(backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState) -> GraphFrame:
    """The plain frame as a graph.

    A frame reads the depth decoder's matrices once for each codebook, so they are dequantised in advance if
    there is memory for them, instead of 31 times a frame.
    """
    if any(isinstance(module, QuantizedLinear) for module in depth.decoder.modules()):
        with suppress(torch.cuda.OutOfMemoryError):
            decoder = unquantized(depth.decoder, depth.decoder.code_table.dtype)
            depth = DepthSampler(decoder, depth.sampling, depth.codebooks)
    return GraphFrame(PlainFrame(backbone, depth, sampling, state))


class GraphFrame:
    """``step`` as a CUDA graph. Recording overwrites its state: fill the state afterwards."""

    def __init__(self, step: Step):
        self.state, self.step = step.state, step  # the step owns buffers that the graph reads
        device = self.state.x.device
        self.state.position.zero_()
        self.state.counter.zero_()
        # Run it once before recording: at their first call libraries allocate handles and workspaces, and
        # kernels are loaded, which a graph can't record.
        warm_up = torch.cuda.Stream(device)
        warm_up.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(warm_up):
            step()
        torch.cuda.current_stream(device).wait_stream(warm_up)
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: other threads may use the GPU meanwhile
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            step()

    def __call__(self, window: int | None = None) -> None:
        self._graph.replay()
