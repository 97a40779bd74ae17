"""Mimi by ``transformers`` (5.3 or newer), whole decode only, from the same checkpoint files as our own.

Before 5.3 its attention mask ignores the window of 250 tokens, so everything past 10 s is wrong. It keeps no
convolution state, so it can't decode a stream, and a whole decode takes memory in proportion to its length.
"""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import MisoError, missing_package
from ...progress import Progress
from ..mimi.config import MimiConfig
from ..mimi.layouts import to_hugging_face
from .mimi import MimiSized
from .whole import require_fp32, undisturbed, whole_codec

NEEDED = (5, 3)
INSTALL = "pip install 'transformers>=5.3'"


class TransformersVocoder(MimiSized):
    """``module`` is the package's ``MimiModel``."""

    module: Any
    name = "transformers"
    can_encode = True

    def __init__(self, module, config: MimiConfig, codec: str):
        super().__init__(config, codec)
        self.module = module

    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor:
        self._drop_cached_tables()
        with torch.no_grad():
            wave = self.module.decode(codes.to(self.device, torch.int64)).audio_values.float().cpu()
        if progress:
            progress(codes.shape[-1], codes.shape[-1])
        return wave

    def _encode(self, wave: Tensor, codebooks: int) -> Tensor:
        require_fp32(self)
        self._drop_cached_tables()
        wave = F.pad(wave, (0, -wave.shape[-1] % self.frame_size)).to(self.device, torch.float32)
        with torch.no_grad():
            return self.module.encode(wave, num_quantizers=codebooks).audio_codes.cpu()

    def _drop_cached_tables(self) -> None:
        """Drop the codebooks that modules cache as plain attributes: they don't move with the module."""
        for module in self.module.modules():
            if getattr(module, "_embed", None) is not None:
                setattr(module, "_embed", None)  # noqa: B010  # mypy: not an attribute of nn.Module


def load(
    checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> TransformersVocoder:
    """The backend's loader; see ``registry.load_vocoder``. The file must have an encoder."""
    with undisturbed():
        return _load(checkpoint, device, dtype)


def _load(
    checkpoint: str | os.PathLike, device: str | torch.device, dtype: torch.dtype | None
) -> TransformersVocoder:
    model_class, config_class = _classes()
    config, codec, tensors = whole_codec(checkpoint, "transformers")
    if config.encoder_layers != config.decoder_layers or config.stride != 2:
        raise MisoError("transformers can't build a codec of these sizes.", "Use the vocoder backend 'mimi'.")
    with _quiet():
        module, report = model_class.from_pretrained(
            None,
            config=config_class(**_sizes(config)),
            output_loading_info=True,
            state_dict=to_hugging_face(tensors, config.heads),
        )
    wrong = [*report["missing_keys"], *report["unexpected_keys"]]
    if wrong:
        raise MisoError(
            f"transformers {metadata.version('transformers')} has other tensor names ({min(wrong)}).",
            "Use the vocoder backend 'mimi'.",
        )
    return TransformersVocoder(module.eval().to(device, dtype or torch.float32), config, codec)


def _classes():
    """MimiModel and MimiConfig of a ``transformers`` that decodes correctly."""
    try:
        version = metadata.version("transformers")
    except metadata.PackageNotFoundError as e:
        raise missing_package("transformers", "The vocoder backend 'transformers'", INSTALL) from e
    if tuple(int(part) for part in version.split(".")[:2]) < NEEDED:
        raise MisoError(
            f"transformers {version} decodes Mimi wrongly past 10 seconds (fixed in 5.3).",
            f"Use the vocoder backend 'mimi', or: {INSTALL}",
        )
    try:
        from transformers import MimiConfig as Config
        from transformers import MimiModel
    except ImportError as e:  # its lazy imports turn any error in torchvision or torchaudio into this
        raise MisoError(
            f"transformers {version} is installed, but its Mimi can't be imported: {e}",
            "Repair that installation, or use the vocoder backend 'mimi'.",
        ) from e
    return MimiModel, Config


def _sizes(c: MimiConfig) -> dict:
    return {
        "sampling_rate": c.sample_rate,
        "hidden_size": c.dim,
        "num_filters": c.filters,
        "num_residual_layers": c.residual_layers,
        "upsampling_ratios": list(c.ratios),
        "kernel_size": c.kernel,
        "last_kernel_size": c.last_kernel,
        "residual_kernel_size": c.residual_kernel,
        "dilation_growth_rate": c.dilation_base,
        "compress": c.compress,
        "codebook_size": c.codebook_size,
        "codebook_dim": c.codebook_dim,
        "vector_quantization_hidden_dimension": c.codebook_dim,
        "num_quantizers": c.codebooks,
        "num_semantic_quantizers": c.semantic,
        "upsample_groups": c.dim,
        "num_hidden_layers": c.decoder_layers,
        "intermediate_size": c.ff,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.heads,
        "head_dim": c.dim // c.heads,
        "sliding_window": c.window,
        "rope_parameters": {"rope_theta": c.rope_base, "rope_type": "default"},
        "layer_scale_initial_scale": c.layer_scale,
    }


class _quiet:
    """Hide the progress bar for weights that are already in memory."""

    def __enter__(self):
        from transformers.utils import logging

        self.logging, self.shown = logging, logging.is_progress_bar_enabled()
        logging.disable_progress_bar()

    def __exit__(self, *_):
        if self.shown:
            self.logging.enable_progress_bar()
