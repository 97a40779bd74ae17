"""The heads of a backbone that follow the text while it speaks, found in one pass over what was said.

No head is known beforehand. A head that follows the text goes through the symbols in order, to the end, and
looks at one at a time; ``best_score`` measures that on this very utterance.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..model.config import ModelConfig
from ..model.networks import Backbone
from ..model.transformer import Attention
from ..progress import Progress
from .monotone import best_score

HEADS = 3  # their mean misses no word; one alone missed 2 %
_MASS = 0.2  # weight of the log of the attention that goes to the text at all
_AT_ONCE = 2**23  # numbers that are kept before heads are chosen


def pass_bytes(config: ModelConfig, rows: int) -> int:
    """Bytes that ``text_shares`` needs beside the weights for so many rows, at most."""
    stack = config.backbone
    states = rows * (3 * stack.inter + 8 * stack.dim)  # of one layer
    kept = min(2 * _AT_ONCE, stack.layers * stack.heads * rows**2 // 4)  # T * S is at most (rows / 2)^2
    return 4 * (states + 2 * stack.heads // stack.kv_heads * rows**2 + 3 * kept)


class _Best:
    """The ``HEADS`` best of the heads that were added: shares of attention [T, S] each."""

    def __init__(self, step: int, least: int):
        self._step, self._least = step, least
        self._waiting: list[Tensor] = []
        self._shares: Tensor | None = None
        self._scores: Tensor | None = None

    def add(self, weights: Tensor) -> None:
        """Heads' attention to the symbols, [H, T, S]."""
        self._waiting.append(weights)
        if sum(w.numel() for w in self._waiting) > _AT_ONCE:
            self._choose()

    def _choose(self) -> None:
        weights = torch.cat(self._waiting)
        self._waiting.clear()
        mass = weights.sum(2)
        shares = weights / mass.clamp_min(1e-9)[..., None]
        scores = best_score(shares, self._step, self._least) + _MASS * mass.mean(1).clamp_min(1e-9).log()
        if self._shares is not None and self._scores is not None:
            shares, scores = torch.cat((self._shares, shares)), torch.cat((self._scores, scores))
        chosen = scores.topk(min(HEADS, len(scores))).indices
        self._shares, self._scores = shares[chosen], scores[chosen]

    @property
    def shares(self) -> Tensor:
        """Their mean, [T, S] on the CPU."""
        if self._waiting:
            self._choose()
        assert self._shares is not None
        return self._shares.mean(0).float().cpu()


@torch.inference_mode()
def text_shares(
    backbone: Backbone,
    rows: Tensor,
    mask: Tensor,
    first: int,
    columns: Tensor,
    step: int,
    least: int,
    progress: Progress | None = None,
) -> Tensor:
    """How the attention of each frame is shared among symbols: [T, S] on the CPU, the mean of the best heads.

    ``rows`` and ``mask`` [N, K+1] are text and frames, without the last frame; row ``first`` is the one that
    frame 0 is drawn from, and ``columns`` [S] are the rows of the symbols. ``step`` and ``least`` limit the
    paths, see ``best_score``. ``progress`` counts layers.
    """
    best, layers = _Best(step, least), backbone.transformer.layers
    device = backbone.codebook0_head.weight.device
    where = columns.to(device)

    def look(layer: int, attention: Attention, arguments: tuple, output: Tensor) -> None:
        x, rotation, *_ = arguments
        best.add(attention.weights(x, rotation, slice(first, None), where))
        if progress:
            progress(layer + 1, len(layers))

    # within the layer's own run, when weights that stay on the CPU have been copied
    attentions = [module for module in backbone.transformer.modules() if isinstance(module, Attention)]
    hooks = [attention.register_forward_hook(partial(look, i)) for i, attention in enumerate(attentions)]
    try:
        backbone(backbone.embed(rows[None], mask[None]))
    finally:
        for hook in hooks:
            hook.remove()
    return best.shares
