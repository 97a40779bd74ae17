"""Silence as codes."""

from __future__ import annotations

import torch

from ..codes.codes import Codes
from ..codes.editing.operations import trim
from .encode import encode_codes
from .vocoder import Vocoder

SETTLE = 25  # frames, 2 s: an encoder's first frames of silence tell of its start, five by its convolutions, some more by attention
PAUSE = 50  # frames, 4 s: of one length whatever pause is wanted, because on a GPU a code near a tie may differ with the length encoded


def coded_silence(vocoder: Vocoder, frames: int = PAUSE) -> Codes:
    """``frames`` frames of what the codec makes of silence once it has settled. Raises MisoError without an encoder."""
    return trim(encode_codes(vocoder, torch.zeros(1, 1, (SETTLE + frames) * vocoder.frame_size)), SETTLE)
