"""Layers whose weights stay in the CPU's memory and are copied to the device of the input for each call.

This is for GPUs that even int4 does not fit. It is slow, because these layers cross the bus once per frame.
accelerate is needed for this one hook and nothing else: its own hook for offloading, ``AlignDevicesHook``,
does not fit models that ComfyUI moves (see ``_CopyWeights``).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import Tensor, nn


class _CopyWeights(ModelHook):
    """Between calls the module's tensors are None, so that moving, counting or saving the model skips them.

    accelerate's ``AlignDevicesHook`` is bound to one device, while ComfyUI moves models; it waits for each
    tensor and empties the device's cache after it, many times a frame; and it leaves meta tensors, which
    prevent moving the model.
    """

    bytes: int  # size of the weights
    _weights: list[
        tuple[dict, str, Tensor]
    ]  # a module's dict of tensors, the name in it, the tensor on the CPU

    def init_hook(self, module: nn.Module) -> nn.Module:
        self._weights = []
        for part in module.modules():
            table: dict
            for table in (part._parameters, part._buffers):
                tensors = [(name, tensor) for name, tensor in table.items() if tensor is not None]
                self._weights += [(table, name, _pinned(tensor.data)) for name, tensor in tensors]
        self.bytes = sum(tensor.nbytes for _, _, tensor in self._weights)
        return self.post_forward(module, module)

    def pre_forward(self, module: nn.Module, x: Tensor, *args) -> tuple[tuple, dict]:
        for table, name, tensor in self._weights:
            # asynchronous, but ordered before the computation in the same stream
            table[name] = tensor.to(x.device, non_blocking=True)
        return (x, *args), {}

    def post_forward(self, module: nn.Module, output):
        for table, name, _ in self._weights:
            table[name] = None
        return output


def keep_on_cpu(modules: Iterable[nn.Module]) -> int:
    """Keep the modules' weights in the CPU's memory wherever the model is moved; returns their size in bytes.

    Each module then runs on the device of its first argument.
    """
    hooks = []
    for module in modules:
        hooks.append(_CopyWeights())
        add_hook_to_module(module, hooks[-1])
    return sum(hook.bytes for hook in hooks)


def _pinned(tensor: Tensor) -> Tensor:
    """The tensor on the CPU; with CUDA in pinned memory, for full-speed asynchronous copies."""
    tensor = tensor.cpu()
    try:
        return tensor.pin_memory() if torch.cuda.is_available() else tensor
    except RuntimeError:  # the system's limit for pinned memory: pageable memory is only slower
        return tensor
