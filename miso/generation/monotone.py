"""Paths that run through symbols in their order, one symbol a frame: the search behind alignment."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_FLOOR = 1e-4  # of a symbol's share of a frame: attention may miss a symbol that is said


def best_score(shares: Tensor, step: int, least: int) -> Tensor:
    """The mean log share on the best path of each head [H], for shares [H, T, S] of symbols in each frame.

    A path stays on its symbol or goes up to ``step`` on, begins within the first ``step`` symbols and ends at
    symbol ``least`` or later.
    """
    scores = shares.clamp_min(_FLOOR).log()
    path = scores[:, 0].clone()
    path[:, step:] = -torch.inf
    for frame in scores.unbind(1)[1:]:
        path = F.max_pool1d(F.pad(path, (step, 0), value=-torch.inf), step + 1, 1) + frame
    return path[:, least:].amax(1) / scores.shape[1]


def occupancy(shares: Tensor, step: int, least: int) -> Tensor:
    """The probability [T, S] that a frame is on a symbol, over all such paths (forward-backward).

    Float64 on the CPU: a frame's row sums to 1.
    """
    scores = shares.to("cpu", torch.float64).clamp_min(_FLOOR).log()
    frames, symbols = scores.shape
    forward = torch.full((frames, symbols), -torch.inf, dtype=torch.float64)
    backward = torch.full((frames, symbols), -torch.inf, dtype=torch.float64)
    forward[0, :step] = scores[0, :step]
    backward[-1, least:] = 0
    nothing = torch.full((step,), -torch.inf, dtype=torch.float64)
    for t in range(1, frames):
        before = torch.cat((nothing, forward[t - 1])).unfold(0, step + 1, 1)
        forward[t] = before.logsumexp(1) + scores[t]
    for t in range(frames - 2, -1, -1):
        after = torch.cat((backward[t + 1] + scores[t + 1], nothing)).unfold(0, step + 1, 1)
        backward[t] = after.logsumexp(1)
    return (forward + backward).softmax(1)
