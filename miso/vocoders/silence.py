"""Codes of silence."""

from __future__ import annotations

import torch

from ..codes.codes import Codes
from ..codes.editing.operations import trim
from .encode import encode_codes
from .vocoder import Vocoder

# Frames (2 s) that an encoder needs to settle: its first codes of silence still depend on the start, five
# through its convolutions, more through attention.
SETTLE = 25
# Frames (4 s) of silence to encode, whatever pause is wanted: on a GPU, a code near a tie may depend on the
# length.
PAUSE = 50


def coded_silence(vocoder: Vocoder, frames: int = PAUSE) -> Codes:
    """``frames`` frames of silence of a settled codec. Raises MisoError if the vocoder can't encode."""
    return trim(encode_codes(vocoder, torch.zeros(1, 1, (SETTLE + frames) * vocoder.frame_size)), SETTLE)
