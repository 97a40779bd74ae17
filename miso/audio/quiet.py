"""Quiet places, where speech can be cut without cutting a word."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

WINDOW = 0.1  # seconds that a cut needs to be quiet for
FLOOR = 1e-8  # power, -80 dB: below, all is equally quiet
_HOP = 0.01  # seconds from one place that is considered to the next


def quiet_place(wave: Tensor, rate: int, first: int, last: int) -> int:
    """The middle of the quietest 100 ms of a wave [C, N] that begin within samples first..last.

    Of places that are nearly as quiet, such as the pauses between words, it is the latest.
    """
    window, hop = max(1, round(WINDOW * rate)), max(1, round(_HOP * rate))
    first = max(0, min(first, last))
    heard = wave[:, first : last + window].float().square().mean(0)
    heard = F.pad(heard, (0, max(0, window - len(heard))))
    level = F.avg_pool1d(heard[None], window, hop)[0]
    latest = int((level <= 2 * level.min() + FLOOR).nonzero()[-1])
    return min(first + latest * hop + window // 2, wave.shape[1])


def quiet_pieces(wave: Tensor, rate: int, seconds: float) -> list[tuple[int, int]]:
    """Where pieces of a wave [C, N] begin and end that last ``seconds`` at most and are cut at quiet places.

    A cut is looked for in the last third of a piece.
    """
    pieces, start, longest = [], 0, max(1, round(seconds * rate))
    while wave.shape[1] - start > longest:
        last = start + longest - round(WINDOW * rate)
        end = max(start + 1, min(quiet_place(wave, rate, start + longest * 2 // 3, last), start + longest))
        pieces.append((start, end))
        start = end
    return [*pieces, (start, wave.shape[1])]
