"""Parts of a model in ComfyUI's memory management: loaded when first used, moved and unloaded as ComfyUI decides."""

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar


class Weights(torch.nn.Module):
    """Around a part's module: ComfyUI sets attributes of its own (``device`` and others) on what it manages."""

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module = module


class Part:
    """Something with weights that isn't loaded until a block needs it.

    ``load(progress)`` gives it; ``module(it)`` is the ``nn.Module`` that holds its weights. A failed load is tried again the next time.
    ``fingerprint`` and ``precision`` say what the weights are without loading them.
    """

    def __init__(self, load, module=lambda loaded: loaded, fingerprint: str = "", precision: str = ""):
        self._load, self._module, self.fingerprint, self.precision = load, module, fingerprint, precision
        self.loaded = self._patcher = None

    def patcher(self) -> ModelPatcher:
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
        """What ``--cache-ram`` counts."""
        # beside what moves, layers of a backbone may stay on the CPU: no size that ComfyUI makes room for
        return self._patcher.model_size() + getattr(self.loaded, "bytes_on_cpu", 0) if self._patcher else 0


def on_device(*parts: Part, memory: int = 0) -> list:
    """The loaded parts, all on the compute device at once with ``memory`` bytes to spare."""
    # whole or not at all: these modules don't cast weights on the way as ComfyUI's own layers do
    mm.load_models_gpu([part.patcher() for part in parts], memory_required=memory, force_full_load=True)
    return [part.loaded for part in parts]


def progress():
    """A callback ``(done, total)`` that draws ComfyUI's progress bar on the running block, and raises when the user interrupts."""
    bars: dict[int, ProgressBar] = {}

    def report(done: int, total: int) -> None:
        mm.throw_exception_if_processing_interrupted()
        if total not in bars:
            bars[total] = ProgressBar(total)
        bars[total].update_absolute(done, total)

    return report
