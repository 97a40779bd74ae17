"""Parts of a model in ComfyUI's memory management: loaded on first use, unloaded for other models."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar

from ..miso.generation.paths import state_bytes
from ..miso.model.config import ModelConfig
from ..miso.model.networks import Backbone, TextEmbeddings
from ..miso.progress import Progress
from ..miso.vocoders import load_vocoder

log = logging.getLogger(__name__)


class Weights:
    """What ComfyUI takes for the model: what a part has loaded, and the module in it; None while it isn't."""

    loaded: Any = None
    module: torch.nn.Module | None = None

    def drop(self) -> None:
        """Free the memory at once, and not when Python collects its garbage."""
        if isinstance(self.module, Backbone):
            self.module.forget()
        self.loaded = self.module = None

    def __del__(self):
        self.drop()


class Part(ModelPatcher):
    """Something with weights: all on the device or none, since our modules don't cast as they compute.

    ``load(progress, device)`` loads it, ``module(loaded)`` is the ``nn.Module`` that holds its weights, and
    ``size()`` says how many bytes it will take on the device. ``fingerprint`` and ``precision`` describe the
    weights without loading them.

    When ComfyUI unloads a part, its weights are dropped and later read from the file again, which takes no
    longer than to copy them to the CPU and back. With ``keep`` they move to the CPU's memory: for small ones.
    """

    def __init__(
        self,
        load: Callable[[Progress, torch.device], Any],
        module: Callable[[Any], torch.nn.Module] = lambda loaded: loaded,
        *,
        size: Callable[[], int] = lambda: 0,
        keep: bool = False,
        fingerprint: str = "",
        precision: str = "",
    ):
        super().__init__(Weights(), mm.get_torch_device(), mm.unet_offload_device())
        self._load, self._module, self._size, self._keep = load, module, size, keep
        self._bytes: int | None = None  # once they are counted
        self.fingerprint, self.precision = fingerprint, precision

    @property
    def loaded(self) -> Any:
        """What ``load`` returned, or None."""
        return self.model.loaded

    def opened(self) -> Any:
        """The same, loaded on the offload device if it isn't loaded yet."""
        if self.loaded is None:
            self._read(self.offload_device)
        return self.loaded

    def model_size(self) -> int:
        """Bytes on the compute device."""
        if self.model.module is None:
            return self._size()
        if self._bytes is None:
            self._bytes = sum(
                tensor.nbytes
                for module in self.model.module.modules()
                if not isinstance(module, TextEmbeddings)
                or module.place(self.load_device) == self.load_device
                for table in (module._parameters, module._buffers)
                for tensor in table.values()
                if tensor is not None
            )
        return self._bytes

    def get_ram_usage(self) -> int:
        """Bytes that ``--cache-ram`` counts."""
        # layers that stay on the CPU are not in model_size(): ComfyUI makes no room on the device for them
        return self.model_size() + getattr(self.loaded, "bytes_on_cpu", 0) if self.loaded is not None else 0

    def load(self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False):
        if self.model.module is None:
            self._read(device_to)
        else:
            self.model.module.to(device_to)
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.model_size()
        log.info("Miso: %.0f MB on %s", self.model_size() / 1e6, device_to)

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False) -> int:
        if self.loaded_size():
            return 0
        self.load(device_to)
        return self.loaded_size()

    def partially_unload(self, device_to, memory_to_free=0, force_patch_weights=False) -> int:
        """Frees nothing: ComfyUI then unloads the whole."""
        return 0

    def unpatch_model(self, device_to=None, unpatch_weights=True):
        if not unpatch_weights or self.model.module is None:
            return
        if self._keep and device_to != self.load_device:
            self.model.module.to(device_to)
        else:
            self.model.drop()
        self.model.device = device_to
        self.model.model_loaded_weight_memory = 0

    def _read(self, device: torch.device) -> None:
        # blocks run in inference mode, whose tensors a CUDA graph and an in-place change can't use
        with torch.inference_mode(False), torch.no_grad():
            loaded = self._load(progress(), device)
        self.model.loaded, self.model.module = loaded, self._module(loaded)


def vocoder_part(backend: str, path: Path, dtype: torch.dtype | None = None) -> Part:
    """A vocoder as a part; ``dtype`` is that of decoding, fp32 if None."""
    return Part(
        lambda progress, device: load_vocoder(backend, path, device, dtype),
        lambda vocoder: vocoder.module,
        keep=True,
    )


def on_device(*parts: Part, memory: int = 0) -> list:
    """The loaded parts, all on the compute device at once with ``memory`` bytes to spare."""
    mm.load_models_gpu(list(parts), memory_required=memory, force_full_load=True)
    return [part.loaded for part in parts]


def run_bytes(backbone: Part, config: ModelConfig, takes: int, rows: int) -> int:
    """Bytes that sampling needs beside the weights."""
    dtype = torch.float32 if backbone.precision == "fp32" else torch.bfloat16
    return state_bytes(config, takes, rows, dtype)


def progress() -> Progress:
    """A callback that draws the progress bar of the running block and raises when the user interrupts."""
    bars: dict[int, ProgressBar] = {}

    def report(done: int, total: int) -> None:
        mm.throw_exception_if_processing_interrupted()
        if total not in bars:
            bars[total] = ProgressBar(total)
        bars[total].update_absolute(done, total)

    return report
