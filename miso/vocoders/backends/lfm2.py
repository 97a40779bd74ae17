"""LFM2.5-Audio's detokenizer as a backend: a stream holds back 20 ms, and 8 codebooks are read."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ...model.config import MIMI
from ...progress import Progress
from ..lfm2.config import CODEBOOKS
from ..lfm2.detokenizer import Detokenizer, DetokenizerState
from ..lfm2.weights import load_detokenizer
from ..mimi.config import MimiConfig
from ..tf32 import no_tf32
from ..vocoder import Stream
from .mimi import MimiSized

LICENCE = (
    "The weights of LFM2.5-Audio are under the LFM Open License v1.0: free for commercial use by companies "
    "with less than 10 million USD of revenue a year."
)
_CHUNK = 50  # frames (4 s) decoded at once


class Lfm2Vocoder(MimiSized):
    """``module`` is a ``Detokenizer``; streams keep their own state."""

    module: Detokenizer
    name = "lfm2"
    exact_streaming = True
    least_codebooks = CODEBOOKS
    notice = LICENCE

    def __init__(self, net: Detokenizer):
        super().__init__(MimiConfig(), MIMI)
        self.module, self.look_ahead = net, net.config.look_ahead
        self.sample_rate, self.frame_size = net.config.sample_rate, net.config.frame_size
        self.codebook_size = net.config.codebook_size

    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor:
        return self._decode_by_stream(codes, _CHUNK, progress)

    def _stream(self, batch: int) -> Stream:
        return Lfm2Stream(self, batch)


class Lfm2Stream(Stream):
    """A stream, exact at any chunk size. ``state`` is replaced, never modified. None: the beginning."""

    vocoder: Lfm2Vocoder
    state: DetokenizerState | None = None

    @torch.inference_mode()
    def _push(self, codes: Tensor) -> Tensor:
        net = self.vocoder.module
        codes = codes.to(self.vocoder.device, torch.int64)
        with no_tf32(codes.device):
            wave, self.state = net.step(codes, self.state or net.start(self.batch))
        return wave.cpu()

    @torch.inference_mode()
    def flush(self) -> Tensor:
        state, self.state = self.state, None
        return super().flush() if state is None else self.vocoder.module.rest(state).cpu()


def load(
    checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Lfm2Vocoder:
    """The backend's loader; see ``registry.load_vocoder``."""
    return Lfm2Vocoder(load_detokenizer(checkpoint, device, dtype or torch.float32))
