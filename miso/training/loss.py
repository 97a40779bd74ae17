"""Training loss of CSM: codebook 0 on every frame, the other codebooks on a random subset of frames."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.networks import Backbone, DepthDecoder


class Loss(NamedTuple):
    """Mean cross-entropies in nats; ``total`` weights the two by their numbers of targets."""

    total: Tensor
    codebook0: Tensor
    depth: Tensor


def loss(
    backbone: Backbone,
    depth: DepthDecoder,
    rows: Tensor,
    mask: Tensor,
    targets: Tensor,
    targets_mask: Tensor,
    picked: Tensor,
) -> Loss:
    """Loss of a batch.

    Args:
        rows, mask: [B, S, K+1], the input.
        targets, targets_mask: [B, S, K], codes of the next frame.
        picked: [B, n], frames on which the depth decoder is trained, from the backbone's hidden states
            (compute amortization, as Sesame describes it for CSM).
    """
    hidden = backbone(backbone.embed(rows, mask))
    c0 = F.cross_entropy(
        backbone.codebook0_head(hidden).float().flatten(0, 1),
        _masked(targets[..., 0], targets_mask[..., 0]).flatten(),
    )
    batch = torch.arange(len(rows), device=rows.device)[:, None]
    frames = targets[batch, picked].flatten(0, 1)  # [B * n, K]
    logits = depth.teacher_forced(hidden[batch, picked].flatten(0, 1), frames)
    valid = targets_mask[batch, picked].flatten(0, 1)[:, 1:]
    others = F.cross_entropy(logits.float().flatten(0, 1), _masked(frames[:, 1:], valid).flatten())
    n0, n = targets_mask[..., 0].sum(), valid.sum()
    return Loss((c0 * n0 + others * n) / (n0 + n), c0, others)


def _masked(targets: Tensor, mask: Tensor) -> Tensor:
    return targets.long().masked_fill(~mask, -100)  # cross_entropy's ignore_index
