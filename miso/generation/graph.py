"""A frame recorded once as a CUDA graph and replayed: the host sends one launch a frame in place of thousands."""

from __future__ import annotations

import torch


class GraphFrame:
    """The step ``frame``, recorded. What it leaves in its state while it is recorded means nothing: fill the state afterwards."""

    def __init__(self, frame):
        self.state, self.step = frame.state, frame  # the step owns buffers that the graph reads
        device = self.state.x.device
        self.state.position.zero_()
        self.state.counter.zero_()
        # once as it is: libraries make their handles and workspaces, and kernels are loaded, at the first call, which can't be recorded
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            frame()
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            self._graph, capture_error_mode="thread_local"
        ):  # what other threads do on the GPU meanwhile is their own affair
            frame()

    def __call__(self, window: int | None = None) -> None:
        self._graph.replay()
