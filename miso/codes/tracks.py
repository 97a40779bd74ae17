"""Which part of a dialogue's sound belongs to which speaker."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import MisoError
from .codes import Codes

_FADE = 0.01  # seconds from one speaker to the next


def speaker_tracks(codes: Codes, frame_size: int, sample_rate: int) -> dict[int, Tensor]:
    """For each speaker of one take, in order of first appearance, the share [N] of each sample, 0 to 1.

    The shares of a sample add up to 1: pauses belong to who spoke before them, and one speaker fades into the
    next, so that the tracks together are the whole sound. Raises MisoError unless it is one take that knows
    its speakers.
    """
    if codes.batch != 1:
        raise MisoError(
            f"Put Pick Take in between: the codes have {codes.batch} takes, and only one can be used here.",
            input="codes",
        )
    spans = codes.takes[0].spans
    if not spans or not codes.frames:
        raise MisoError("These codes don't know who speaks. Use those of Dialogue.", input="codes")
    samples = codes.frames * frame_size
    half = min(frame_size // 2, round(_FADE * sample_rate / 2))
    shares = {span.speaker: torch.zeros(samples) for span in spans}
    starts = [0, *(span.start * frame_size for span in spans[1:])]
    for span, start, end in zip(spans, starts, [*starts[1:], samples]):
        shares[span.speaker][start:end] = 1
    ramp = (torch.arange(2 * half) + 0.5) / max(1, 2 * half)
    for before, after, at in zip(spans, spans[1:], starts[1:]):
        if before.speaker != after.speaker and half <= at <= samples - half:
            shares[after.speaker][at - half : at + half] = ramp
            shares[before.speaker][at - half : at + half] = 1 - ramp
    return shares
