"""One frame of every take, as a step from the row before it: static shapes, no host read, all state in tensors that stay where they are.

So the same step runs as it is, or is recorded once and replayed (``graph``); ``persistent`` has one kernel for the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.networks import Backbone
from ..model.sampling import Sampling, draw
from ..model.transformer import KVCache
from .depth import DepthSampler


@dataclass(frozen=True, eq=False)
class FrameState:
    """What a step reads and leaves. Tables have a row for each of F frames, those of a prefix included."""

    x: Tensor  # [B, 1, D] the row that the backbone reads next
    position: Tensor  # [1] where it stands
    counter: Tensor  # [1] the frame that it gives
    u: Tensor  # [B, F, K] the uniform numbers of all frames
    codes: Tensor  # [F, B, k]
    log_p: Tensor  # [F, B] of codebook 0
    hidden: Tensor  # [F, B, D] what the frames are drawn from
    cache: KVCache

    @staticmethod
    def make(backbone: Backbone, depth: DepthSampler, takes: int, rows: int, frames: int) -> FrameState:
        """Room for ``frames`` of ``takes`` among ``rows`` positions."""
        config, weight = (
            backbone.config,
            backbone.audio_embeddings.weight,
        )  # never quantised: its dtype is what is computed in
        dtype, device = weight.dtype, weight.device
        return FrameState(
            torch.zeros(takes, 1, config.backbone.dim, dtype=dtype, device=device),
            *torch.zeros(2, 1, dtype=torch.int64, device=device),
            torch.zeros(takes, frames, config.codebooks, device=device),
            torch.zeros(frames, takes, depth.codebooks, dtype=torch.int64, device=device),
            torch.zeros(frames, takes, device=device),
            torch.zeros(frames, takes, config.backbone.dim, dtype=dtype, device=device),
            backbone.transformer.cache(takes, rows),
        )


class PlainFrame:
    """The step in plain PyTorch, for any device. The depth decoder may be any object that is called like a ``DepthSampler``."""

    def __init__(self, backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState):
        self.backbone, self.depth, self.sampling, self.state = backbone, depth, sampling, state

    @torch.inference_mode()
    def __call__(self, window: int | None = None) -> None:
        """Draw a frame and embed it as the next row. ``window``: how much of the cache is looked at, all of it if None."""
        s, backbone = self.state, self.backbone
        hidden = backbone(s.x, s.position, s.cache, window)[:, -1]
        logits = backbone.codebook0_head(hidden)
        u = s.u.index_select(1, s.counter)[:, 0]
        c0 = draw(logits, u[:, 0], self.sampling, backbone.config.codebook_size)[:, None]
        codes = self.depth(hidden, c0, u)
        log_p = logits.float().log_softmax(-1).gather(1, c0)[:, 0]
        for table, row in ((s.codes, codes), (s.log_p, log_p), (s.hidden, hidden)):
            table.index_copy_(0, s.counter, row[None])
        s.x.copy_(backbone.embed_frame(codes))
        s.position.add_(1)
        s.counter.add_(1)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Pieces of a frame to be timed alone."""
        s, config = self.state, self.backbone.config
        c0 = s.codes[0, :, :1].clamp(max=config.codebook_size - 1)
        return {
            "backbone": lambda: self.backbone.codebook0_head(self.backbone(s.x, s.position, s.cache)[:, -1]),
            "depth": lambda: self.depth(s.hidden[0], c0, s.u[:, 0]),
        }
