"""Where new frames go over into old ones: how likely the old ones are after them, by the model itself.

The likelihood of a frame is that of all its codebooks, so that it knows words, pitch and sound alike, and
needs no vocoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.networks import Backbone, DepthDecoder
from ..text.conditioning import Prompt, frame_rows


@torch.inference_mode()
def log_likelihoods(
    backbone: Backbone,
    depth: DepthDecoder,
    prompt: Prompt,
    prefix: Tensor,
    tails: Sequence[Tensor],
) -> list[Tensor]:
    """Log probabilities [T, k] of the codes in each of ``tails`` [T, k], after prompt and ``prefix`` [P, k].

    Natural logarithm, temperature 1. What they share is computed once.
    """
    config, device = backbone.config, backbone.codebook0_head.weight.device
    count, longest = len(tails), max(len(tail) for tail in tails)
    if not longest:
        return [torch.zeros(tail.shape) for tail in tails]
    padded = torch.stack([F.pad(tail, (0, 0, 0, longest - len(tail))) for tail in tails])  # [N, T, k]
    rows, mask = frame_rows(prefix, config.codebooks)
    rows, mask = torch.cat((prompt.rows, rows)), torch.cat((prompt.mask, mask))
    before = len(rows) - 1  # the last of them is read together with the tails
    cache = backbone.transformer.cache(count, before + longest)
    if before:
        x = backbone.embed(rows[None, :-1], mask[None, :-1])
        backbone(x, torch.arange(before, device=device), cache.takes(0, 1), before)
        cache.spread(before)
    tail_rows, tail_mask = frame_rows(padded[:, :-1].flatten(0, 1), config.codebooks)
    x = torch.cat(
        (
            backbone.embed(rows[None, -1:], mask[None, -1:]).expand(count, -1, -1),
            backbone.embed(tail_rows.unflatten(0, (count, -1)), tail_mask.unflatten(0, (count, -1))),
        ),
        1,
    )
    positions = torch.arange(before, before + longest, device=device)
    hidden = backbone(x, positions, cache, before + longest)  # [N, T, D]
    codes = padded.to(device)
    first = backbone.codebook0_head(hidden).float().log_softmax(-1).gather(-1, codes[..., :1])  # [N, T, 1]
    flat, states = codes.flatten(0, 1), hidden.flatten(0, 1).to(depth.code_table.dtype)
    others = depth.teacher_forced(states, F.pad(flat, (0, config.codebooks - flat.shape[1])))
    others = others[:, : flat.shape[1] - 1].float().log_softmax(-1).gather(-1, flat[:, 1:, None])[..., 0]
    found = torch.cat((first, others.unflatten(0, (count, -1))), -1).cpu()  # [N, T, k]
    return [row[: len(tail)] for row, tail in zip(found, tails)]
