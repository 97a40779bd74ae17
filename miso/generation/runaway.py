"""Takes that run away: that go on after their text, or are stuck in it."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from ..text.conditioning import TextEncoder, frames_of_take
from ..text.length import expected_seconds
from ..text.words import spelled_words
from .alignment import place_symbols, symbol_columns
from .loop import Frame, FrameLoop

RUNAWAY = "runaway"  # the stop reason
STILL = 2.0  # seconds without progress in the text
_LATE = 1.5  # times the usual length of the text, from which on takes are looked at
_EVERY = 1.0  # seconds
_PROGRESS = 0.5  # symbols


class RunawayWatch:
    """Ends takes of a loop that have got no further in their text for ``STILL`` seconds.

    A take is looked at once it is much longer than its text usually is, so that ordinary runs cost nothing,
    and not before the loop's ``min_frames``. What it has said by then is found by the attention of the
    backbone, as words are (see ``alignment``).
    """

    def __init__(self, loop: FrameLoop, encoder: TextEncoder):
        self._loop, self._encoder, rate = loop, encoder, loop.config.frame_rate
        self._still, self._every = round(STILL * rate), round(_EVERY * rate)
        usual = math.ceil((_LATE * expected_seconds(loop.prompt.line.text) + STILL) * rate)
        self._next = max(loop.first + loop.min_frames + self._still, usual)

    def frame(self, frame: Frame) -> list[int]:
        """To be called with every frame of the loop; returns the takes, from 0, that it has ended now."""
        if frame.index < self._next:
            return []
        self._next = frame.index + self._every
        ended = [take for take in frame.running.nonzero()[:, 0].tolist() if self._stuck(take)]
        for take in ended:
            self._loop.end(take, RUNAWAY)
        return ended

    @cached_property
    def _line(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Rows and mask of the text, and the columns of its symbols; None if it has no words.

        Read only once a take is late: before the first frame it would delay the sound.
        """
        line = self._loop.prompt.line
        if not (spelled := spelled_words(self._encoder, line)):
            return None
        text, mask = self._encoder.rows(line)
        return text, mask, symbol_columns(spelled, text)

    def _stuck(self, take: int) -> bool:
        if self._line is None:
            return False
        text, mask, columns = self._line
        frames = frames_of_take(self._loop.codes.take(take), self._loop.config)
        _, places = place_symbols(self._loop.backbone, text, mask, frames, columns, least=0)
        at = places @ torch.arange(places.shape[1], dtype=places.dtype)  # [T], in symbols
        return bool(at[-1] - at[-1 - self._still] < _PROGRESS)
