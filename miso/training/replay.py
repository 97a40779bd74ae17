"""Training steps as CUDA graphs, which launch thousands of small kernels at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

# calls before a graph is captured: in the first, optimizers create their state and libraries their plans
_EAGER = 2


class Replayed:
    """Calls ``function(*kind, *inputs)``; on a GPU as a CUDA graph for each ``kind`` and number of inputs.

    ``kind`` are hashable values other than tensors. Inputs must keep their shapes. The function must not
    synchronise with the device, and must draw random numbers on it. Its results are valid until the next
    call.
    """

    def __init__(self, function: Callable[..., dict[str, Tensor]], device: torch.device):
        self._function, self._cuda = function, device.type == "cuda"
        self._calls: Counter[tuple] = Counter()
        self._captured: dict[tuple, tuple[torch.cuda.CUDAGraph, list[Tensor], dict[str, Tensor]]] = {}
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
        if key not in self._captured:
            self._captured[key] = self._capture(kind, [tensor.clone() for tensor in inputs])
        graph, static_inputs, returned = self._captured[key]
        for static, tensor in zip(static_inputs, inputs, strict=True):
            static.copy_(tensor)
        graph.replay()
        return returned

    def _capture(
        self, kind: tuple, inputs: list[Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], dict[str, Tensor]]:
        graph = torch.cuda.CUDAGraph()
        # graphs share a memory pool, because they run one at a time
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            returned = self._function(*kind, *inputs)
        return graph, inputs, returned
