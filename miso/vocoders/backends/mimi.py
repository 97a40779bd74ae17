"""Our own Mimi, the default backend: exact, streaming, constant memory, needs only torch."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ...progress import Progress
from ..mimi.codec import DecodeState, Mimi
from ..mimi.config import MimiConfig
from ..mimi.weights import load_mimi
from ..vocoder import Stream, Vocoder


class MimiSized(Vocoder):
    """A vocoder with the sizes of a Mimi, of any implementation. It computes on the device of ``module``."""

    def __init__(self, config: MimiConfig, codec: str):
        self.codec = codec
        self.sample_rate, self.frame_rate = config.sample_rate, config.frame_rate
        self.frame_size = config.frame_size
        self.codebooks, self.codebook_size = config.codebooks, config.codebook_size

    @property
    def device(self) -> torch.device:
        """The device of the module now."""
        return next(self.module.parameters()).device


class MimiVocoder(MimiSized):
    """Streams keep their own state, so any number of streams and whole decodes may run at the same time."""

    module: Mimi
    name = "mimi"
    exact_streaming = True

    def __init__(self, mimi: Mimi):
        super().__init__(mimi.config, mimi.codec)
        self.module, self.can_encode = mimi, mimi.can_encode

    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor:
        return self.module.decode(codes.to(self.device, torch.int64), progress).cpu()

    def _stream(self, batch: int) -> Stream:
        return MimiStream(self, batch)

    def _encode(self, wave: Tensor, codebooks: int) -> Tensor:
        return self.module.encode(wave.to(self.device, torch.float32), codebooks).cpu()


class MimiStream(Stream):
    """A stream of our own Mimi: exact at any chunk size, 8 MB per take.

    ``state`` is replaced, never modified, so a saved state can be restored. None: the beginning.
    """

    vocoder: MimiVocoder
    state: DecodeState | None = None

    def _push(self, codes: Tensor) -> Tensor:
        codes = codes.to(self.vocoder.device, torch.int64)
        wave, self.state = self.vocoder.module.decode_step(codes, self.state)
        return wave.cpu()

    def flush(self) -> Tensor:
        self.state = None
        return super().flush()


def load(
    checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> MimiVocoder:
    """The backend's loader; see ``registry.load_vocoder``."""
    return MimiVocoder(load_mimi(checkpoint, device, dtype or torch.float32))
