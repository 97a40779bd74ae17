"""A step of training as a CUDA graph: its thousands of small kernels are launched as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

_EAGER = (
    2  # calls before a graph is recorded: optimizers make their state in the first, libraries their plans
)


class Replayed:
    """``function(*kind, *inputs)``, on a GPU recorded once for each ``kind`` (plain values) and number of inputs, and simply called anywhere else.

    Inputs keep their shapes. The function must not wait for the device, and draws random numbers there; what it returns is valid until
    the next call.
    """

    def __init__(self, function: Callable[..., dict[str, Tensor]], device: torch.device):
        self._function, self._cuda = function, device.type == "cuda"
        self._calls, self._recorded = Counter(), {}
        if self._cuda:
            self._stream, self._pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    def __call__(self, kind: tuple, *inputs: Tensor) -> dict[str, Tensor]:
        if not self._cuda:
            return self._function(*kind, *inputs)
        key = kind, len(inputs)
        self._calls[key] += 1
        if self._calls[key] <= _EAGER:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                returned = self._function(*kind, *inputs)
            torch.cuda.current_stream().wait_stream(self._stream)
            return returned
        if key not in self._recorded:
            self._recorded[key] = self._record(kind, [i.clone() for i in inputs])
        graph, kept, returned = self._recorded[key]
        for mine, given in zip(kept, inputs, strict=True):
            mine.copy_(given)
        graph.replay()
        return returned

    def _record(
        self, kind: tuple, inputs: list[Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], dict[str, Tensor]]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream
        ):  # graphs run one at a time, and share their memory
            returned = self._function(*kind, *inputs)
        return graph, inputs, returned
