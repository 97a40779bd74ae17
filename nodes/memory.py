"""Parts of a model in ComfyUI's memory management: loaded on first use, moved and unloaded by ComfyUI."""

from collections.abc import Callable
from typing import Any

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar

from ..miso.progress import Progress


class Weights(torch.nn.Module):
    """A wrapper that takes the attributes ComfyUI sets (``device`` and others) in our modules' place."""

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module = module


class Part:
    """Something with weights that is loaded when a block first needs it.

    ``load(progress)`` loads it; ``module(loaded)`` is the ``nn.Module`` that holds its weights. A failed load
    is tried again the next time. ``fingerprint`` and ``precision`` describe the weights without loading them.
    """

    def __init__(
        self,
        load: Callable[[Progress], Any],
        module: Callable[[Any], torch.nn.Module] = lambda loaded: loaded,
        fingerprint: str = "",
        precision: str = "",
    ):
        self._load, self._module = load, module
        self.fingerprint, self.precision = fingerprint, precision
        self.loaded: Any = None
        self._patcher: ModelPatcher | None = None

    def patcher(self) -> ModelPatcher:
        """ComfyUI's handle on the weights, which are loaded by the first call."""
        if self._patcher is None:
            loaded = self._load(progress())
            self._patcher = ModelPatcher(
                Weights(self._module(loaded)),
                load_device=mm.get_torch_device(),
                offload_device=mm.unet_offload_device(),
            )
            self.loaded = loaded
        return self._patcher

    def get_ram_usage(self) -> int:
        """Bytes that ``--cache-ram`` counts."""
        if self._patcher is None:
            return 0
        # layers that stay on the CPU are not in model_size(): ComfyUI makes no room on the device for them
        return self._patcher.model_size() + getattr(self.loaded, "bytes_on_cpu", 0)


def on_device(*parts: Part, memory: int = 0) -> list:
    """The loaded parts, all on the compute device at once with ``memory`` bytes to spare."""
    # force_full_load: unlike ComfyUI's own layers, these modules don't cast weights to the device as they
    # compute
    mm.load_models_gpu([part.patcher() for part in parts], memory_required=memory, force_full_load=True)
    return [part.loaded for part in parts]


def progress() -> Progress:
    """A callback that draws the progress bar of the running block and raises when the user interrupts."""
    bars: dict[int, ProgressBar] = {}

    def report(done: int, total: int) -> None:
        mm.throw_exception_if_processing_interrupted()
        if total not in bars:
            bars[total] = ProgressBar(total)
        bars[total].update_absolute(done, total)

    return report
