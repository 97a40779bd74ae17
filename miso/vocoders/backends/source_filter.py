"""The source-filter vocoder as a backend: streams with 30 ms of look-ahead, from any number of codebooks."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ...progress import Progress
from ..source_filter import SourceFilter, SourceFilterState, load_source_filter
from ..vocoder import Stream
from .mimi import MimiSized

_CHUNK = 50  # frames (4 s) between progress reports


class SourceFilterVocoder(MimiSized):
    """``module`` is a ``SourceFilter``; streams keep their own state."""

    module: SourceFilter
    name = "source-filter"
    exact_streaming = True

    def __init__(self, net: SourceFilter):
        super().__init__(net.codec, net.codec_id)
        self.module, self.look_ahead = net, net.look_ahead
        self.sample_rate, self.frame_size = net.sample_rate, net.frame_size

    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor:
        return self._decode_by_stream(codes, _CHUNK, progress)

    def _stream(self, batch: int) -> Stream:
        return SourceFilterStream(self, batch)


class SourceFilterStream(Stream):
    """A stream of the source-filter vocoder. ``state`` is None at the beginning."""

    vocoder: SourceFilterVocoder
    state: SourceFilterState | None = None

    @torch.inference_mode()
    def _push(self, codes: Tensor) -> Tensor:
        net, parts = self.vocoder.module, []
        # Always one frame at a time: pitch is summed to a phase, so the rounding of other chunk sizes would
        # accumulate.
        for frame in codes.to(self.vocoder.device, torch.int64).split(1, 2):
            wave, self.state = net.step(frame, self.state or net.start(self.batch))
            parts.append(wave)
        return torch.cat(parts, 2).cpu()

    @torch.inference_mode()
    def flush(self) -> Tensor:
        state, self.state = self.state, None
        return super().flush() if state is None else self.vocoder.module.rest(state).cpu()


def load(
    checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> SourceFilterVocoder:
    """The backend's loader; see ``registry.load_vocoder``."""
    return SourceFilterVocoder(load_source_filter(checkpoint, device, dtype or torch.float32))
