"""Mimi by Kyutai's package ``moshi``, the original implementation, from the same checkpoint files as our own.

Its limits are why it isn't the default. Its stream equals its whole decode only up to frame 124: its ring of
keys is exactly as long as the window, so later chunks overwrite keys that are still needed. A whole decode
takes memory in proportion to its length, 28 MB per second. Install it without its requirements, which would
downgrade torch and numpy.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import MisoError, missing_package
from ...progress import Progress
from ..mimi.config import MimiConfig
from ..vocoder import Stream
from .mimi import MimiSized
from .whole import require_fp32, undisturbed, whole_codec


class MoshiVocoder(MimiSized):
    """``module`` is the package's ``MimiModel``, which is never in streaming mode."""

    module: Any
    name = "moshi"
    can_encode = True

    def __init__(self, module, config: MimiConfig, codec: str):
        super().__init__(config, codec)
        self.module = module

    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor:
        with _plainly():
            wave = self.module.decode(codes.to(self.device, torch.int64)).float().cpu()
        if progress:
            progress(codes.shape[-1], codes.shape[-1])
        return wave

    def _stream(self, batch: int) -> Stream:
        return MoshiStream(self, batch)

    def _encode(self, wave: Tensor, codebooks: int) -> Tensor:
        require_fp32(self)
        wave = F.pad(wave, (0, -wave.shape[-1] % self.frame_size)).to(self.device, torch.float32)
        with _plainly():
            codes = self.module.encode(wave)
        return codes[:, :codebooks].cpu()


class MoshiStream(Stream):
    """Exact for 124 frames, approximate after that.

    The package keeps a stream's state in its modules, so each stream has a copy of the modules that shares
    the weights.
    """

    vocoder: MoshiVocoder

    def __init__(self, vocoder: MoshiVocoder, batch: int):
        super().__init__(vocoder, batch)
        weights = [*vocoder.module.parameters(), *vocoder.module.buffers()]
        self.module = copy.deepcopy(vocoder.module, {id(tensor): tensor for tensor in weights})
        self.module.streaming_forever(batch)

    def _push(self, codes: Tensor) -> Tensor:
        with _plainly():
            return self.module.decode(codes.to(self.vocoder.device, torch.int64)).float().cpu()

    def flush(self) -> Tensor:
        self.module.reset_streaming()
        return super().flush()


def load(
    checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> MoshiVocoder:
    """The backend's loader; see ``registry.load_vocoder``. The file must have an encoder."""
    with undisturbed():
        return _load(checkpoint, device, dtype)


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Within it the package compiles nothing and records no CUDA graphs, whose memory can't be freed on
    demand."""
    from moshi.utils.compile import no_compile, no_cuda_graph

    with torch.no_grad(), no_compile(), no_cuda_graph():
        yield


def _load(
    checkpoint: str | os.PathLike, device: str | torch.device, dtype: torch.dtype | None
) -> MoshiVocoder:
    try:
        from moshi.models import loaders
    except ModuleNotFoundError as e:
        if not e.name or e.name.split(".")[0] == "moshi":
            raise missing_package(
                "moshi", "The vocoder backend 'moshi'", "pip install --no-deps moshi"
            ) from e
        raise missing_package(e.name, "The vocoder backend 'moshi'") from e
    config, codec, tensors = whole_codec(checkpoint, "moshi")
    if config.encoder_layers != config.decoder_layers or config.semantic != 1:
        raise MisoError(
            "The package 'moshi' can't build a codec of these sizes.", "Use the vocoder backend 'mimi'."
        )
    module = loaders.get_mimi(None, _sizes(config), num_codebooks=config.codebooks)
    module.load_state_dict(tensors)
    return MoshiVocoder(module.eval().to(device, dtype or torch.float32), config, codec)


def _sizes(c: MimiConfig) -> dict:
    seanet = {
        "channels": 1,
        "dimension": c.dim,
        "causal": True,
        "n_filters": c.filters,
        "n_residual_layers": c.residual_layers,
        "compress": c.compress,
        "dilation_base": c.dilation_base,
        "kernel_size": c.kernel,
        "pad_mode": "constant",
        "residual_kernel_size": c.residual_kernel,
        "last_kernel_size": c.last_kernel,
        "ratios": list(c.ratios),
    }
    transformer = {
        "d_model": c.dim,
        "input_dimension": c.dim,
        "output_dimensions": [c.dim],
        "num_heads": c.heads,
        "num_layers": c.decoder_layers,
        "dim_feedforward": c.ff,
        "causal": True,
        "context": c.window,
        "gating": "none",
        "layer_scale": c.layer_scale,
        "max_period": c.rope_base,
        "positional_embedding": "rope",
        "norm": "layer_norm",
        "conv_layout": True,
    }
    quantizer = {
        "dimension": c.codebook_dim,
        "n_q": c.codebooks,
        "bins": c.codebook_size,
        "input_dimension": c.dim,
        "output_dimension": c.dim,
    }
    return {
        "channels": 1,
        "sample_rate": c.sample_rate,
        "frame_rate": c.frame_rate,
        "seanet": seanet,
        "transformer": transformer,
        "quantizer": quantizer,
    }
