"""From sound to the container of codes."""

from __future__ import annotations

from torch import Tensor

from ..codes.codes import Codes, Span, Take
from .vocoder import Vocoder


def encode_codes(
    vocoder: Vocoder, wave: Tensor, *, codebooks: int | None = None, text: str = "", speaker: int = 0
) -> Codes:
    """Codes of sound [B, 1, N] at the vocoder's rate; ``text`` and ``speaker`` are what they say and who, kept as their span.

    Raises MisoError as ``Vocoder.encode`` does.
    """
    tensor = vocoder.encode(wave, codebooks)
    takes, _, frames = tensor.shape
    spans = (Span(0, frames, text, speaker),) if text else ()
    return Codes(
        tensor,
        [frames] * takes,
        vocoder.codec,
        vocoder.frame_rate,
        vocoder.codebook_size,
        (Take(spans=spans),) * takes,
    )
