"""Encode audio into a container of codes."""

from __future__ import annotations

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.takes import Span, Take
from .vocoder import Vocoder


def encode_codes(
    vocoder: Vocoder, wave: Tensor, *, codebooks: int | None = None, text: str = "", speaker: int = 0
) -> Codes:
    """Codes of audio [B, 1, N] at the vocoder's sample rate.

    ``text`` and ``speaker``, what is said and by whom, are kept as the span of every take.
    Raises MisoError as ``Vocoder.encode`` does.
    """
    tensor = vocoder.encode(wave, codebooks)
    takes, _, frames = tensor.shape
    spans = (Span(0, frames, text, speaker),) if text else ()
    return Codes(
        tensor,
        torch.full((takes,), frames),
        vocoder.codec,
        vocoder.frame_rate,
        vocoder.codebook_size,
        (Take(spans=spans),) * takes,
    )
