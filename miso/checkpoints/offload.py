"""Layers whose weights stay in the CPU's memory: each call copies them to where its input is, and leaves nothing there.

For cards that even int4 doesn't fit: slow, because those layers cross the bus once every frame. Needs accelerate; imported only then.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import Tensor, nn


class _Fetch(ModelHook):
    """Between calls the module's tensors are None, so that whoever moves, counts or saves the whole passes them over.

    accelerate's own ``AlignDevicesHook`` keeps one device for good, while ComfyUI moves models; waits for each tensor and empties the
    device's cache after it, many times a frame; and leaves meta tensors, with which nothing around them can be moved.
    """

    def init_hook(self, module: nn.Module) -> nn.Module:
        tables = [table for part in module.modules() for table in (part._parameters, part._buffers)]
        self._held = [
            (table, name, _locked(tensor.data))
            for table in tables
            for name, tensor in table.items()
            if tensor is not None
        ]
        self.bytes = sum(tensor.nbytes for _, _, tensor in self._held)
        return self.post_forward(module, module)

    def pre_forward(self, module: nn.Module, x: Tensor, *args) -> tuple[tuple, dict]:
        for table, name, tensor in self._held:
            table[name] = tensor.to(
                x.device, non_blocking=True
            )  # in the stream's order: the product after it finds it there
        return (x, *args), {}

    def post_forward(self, module: nn.Module, output):
        for table, name, _ in self._held:
            table[name] = None
        return output


def keep_on_cpu(modules: Iterable[nn.Module]) -> int:
    """Let the modules' weights stay in the CPU's memory, wherever what holds them is moved; returns their bytes. A call runs where its first
    argument is.
    """
    hooks = []
    for module in modules:
        hooks.append(_Fetch())
        add_hook_to_module(module, hooks[-1])
    return sum(hook.bytes for hook in hooks)


def _locked(tensor: Tensor) -> Tensor:
    """On the CPU, where there is CUDA in memory that it copies from at full speed and without the host."""
    tensor = tensor.cpu()
    try:
        return tensor.pin_memory() if torch.cuda.is_available() else tensor
    except RuntimeError:  # the system lets no more be locked: slower, no worse
        return tensor
