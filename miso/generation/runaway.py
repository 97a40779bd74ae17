"""Takes that run away: that go on after their text, or are stuck in it."""

from __future__ import annotations

import math

import torch

from ..text.conditioning import TextEncoder, frames_of_take
from ..text.length import expected_seconds
from ..text.words import spelled_words
from .alignment import place_symbols
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
        line, rate = loop.prompt.line, loop.config.frame_rate
        self._loop, self._still, self._every = loop, round(STILL * rate), round(_EVERY * rate)
        self._text, self._mask = encoder.rows(line)
        spelled = spelled_words(encoder, line)
        first = spelled[0].first if spelled else len(self._text) - 1
        self._columns = torch.arange(first, len(self._text) - 1)
        usual = math.ceil((_LATE * expected_seconds(line.text) + STILL) * rate)
        self._next = max(loop.first + loop.min_frames + self._still, usual)

    def frame(self, frame: Frame) -> list[int]:
        """To be called with every frame of the loop; returns the takes, from 0, that it has ended now."""
        if frame.index < self._next or not len(self._columns):
            return []
        self._next = frame.index + self._every
        ended = [take for take in frame.running.nonzero()[:, 0].tolist() if self._stuck(take)]
        for take in ended:
            self._loop.end(take, RUNAWAY)
        return ended

    def _stuck(self, take: int) -> bool:
        frames = frames_of_take(self._loop.codes.take(take), self._loop.config)
        _, places = place_symbols(self._loop.backbone, self._text, self._mask, frames, self._columns, least=0)
        at = places @ torch.arange(places.shape[1], dtype=places.dtype)  # [T], in symbols
        return bool(at[-1] - at[-1 - self._still] < _PROGRESS)
