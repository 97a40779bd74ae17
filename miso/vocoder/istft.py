"""The ISTFT vocoder as a backend: streams, holds back one hop, takes any number of codebooks."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ..istft import Istft, IstftState, load_istft
from .base import Progress, Stream
from .mimi import MimiSized

_CHUNK = 50  # frames at once: 4 s


class IstftVocoder(MimiSized):
    name = "istft"
    exact_streaming = True

    def __init__(self, net: Istft):
        super().__init__(net.codec, net.codec_id)
        self.module, self.look_ahead = net, net.look_ahead

    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor:
        stream, parts, frames = IstftStream(self, len(codes)), [], codes.shape[2]
        for first in range(0, frames, _CHUNK):
            if progress:
                progress(first, frames)
            parts.append(stream.push(codes[:, :, first:first + _CHUNK]))
        if progress:
            progress(frames, frames)
        return torch.cat((*parts, stream.flush()), 2)

    def _stream(self, batch: int) -> Stream:
        return IstftStream(self, batch)


class IstftStream(Stream):
    vocoder: IstftVocoder
    state: IstftState | None = None  # None at the beginning

    @torch.inference_mode()
    def _push(self, codes: Tensor) -> Tensor:
        net = self.vocoder.module
        wave, self.state = net.step(codes.to(self.vocoder.device, torch.int64), self.state or net.start(self.batch))
        return wave.cpu()

    @torch.inference_mode()
    def flush(self) -> Tensor:
        state, self.state = self.state, None
        return super().flush() if state is None else self.vocoder.module.rest(state).cpu()


def load(checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> IstftVocoder:
    """The backend's loader: see ``registry.load_vocoder``."""
    return IstftVocoder(load_istft(checkpoint, device, dtype or torch.float32))
