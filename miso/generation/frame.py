"""One frame of every take, computed from the row before it.

The step has static shapes, reads nothing on the host, and keeps all state in tensors that stay where they
are. So it runs as it is, or is recorded once and replayed (``graph``); ``persistent`` is one kernel for the
same state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.networks import Backbone
from ..model.sampling import RECENT, Sampling, draw, penalized
from ..model.transformer import KVCache
from .depth import DepthSampler


@dataclass(frozen=True, eq=False)
class FrameState:
    """What a step reads and writes. Tables have a row for each of F frames, a prefix included.

    N is 1: all takes are at the same place. Or it is B, and each is at its own, as a batch of lines is.
    """

    x: Tensor  # [B, 1, D] the row that the backbone reads next
    position: Tensor  # [N] position of that row
    counter: Tensor  # [N] index of the frame to be drawn
    least: Tensor  # [N] index of the first frame that may end a take
    u: Tensor  # [B, F, K] uniform numbers of all frames
    codes: Tensor  # [F, B, k]
    log_p: Tensor  # [F, B] log probability of codebook 0's code
    hidden: Tensor  # [F, B, D] the backbone's output from which a frame is drawn
    cache: KVCache

    @staticmethod
    def make(
        backbone: Backbone, depth: DepthSampler, takes: int, rows: int, frames: int, apart: bool = False
    ) -> FrameState:
        """State for ``frames`` frames of ``takes`` takes, with a cache of ``rows`` positions.

        ``apart``: each take is at a place of its own.
        """
        weight = backbone.audio_embeddings.weight  # never quantised: its dtype is the dtype of computation
        dtype, device = weight.dtype, weight.device
        D, K = backbone.config.backbone.dim, backbone.config.codebooks
        places = takes if apart else 1
        return FrameState(
            x=torch.zeros(takes, 1, D, dtype=dtype, device=device),
            position=torch.zeros(places, dtype=torch.int64, device=device),
            counter=torch.zeros(places, dtype=torch.int64, device=device),
            least=torch.zeros(places, dtype=torch.int64, device=device),
            u=torch.zeros(takes, frames, K, device=device),
            codes=torch.zeros(frames, takes, depth.codebooks, dtype=torch.int64, device=device),
            log_p=torch.zeros(frames, takes, device=device),
            hidden=torch.zeros(frames, takes, D, dtype=dtype, device=device),
            cache=backbone.transformer.cache(takes, rows),
        )

    def take(self, index: int) -> FrameState:
        """The state of one take alone, in the same memory, of a state whose takes are apart."""
        one = slice(index, index + 1)
        return FrameState(
            x=self.x[one],
            position=self.position[one],
            counter=self.counter[one],
            least=self.least[one],
            u=self.u[one],
            codes=self.codes[:, one],
            log_p=self.log_p[:, one],
            hidden=self.hidden[:, one],
            cache=self.cache.takes(index, index + 1),
        )


class PlainFrame:
    """The step in plain PyTorch, for any device. ``depth`` may be any callable like ``DepthSampler``."""

    def __init__(self, backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState):
        self.backbone, self.depth, self.sampling, self.state = backbone, depth, sampling, state
        self._takes = torch.arange(len(state.x), device=state.x.device)

    @torch.inference_mode()
    def __call__(self, window: int | None = None) -> None:
        """Draw a frame of every take and embed it as the next row.

        ``window``: how many positions of the cache attention reads; all if None.
        """
        s, backbone = self.state, self.backbone
        apart = len(s.position) > 1
        # backbone: codebook 0
        positions = s.position[:, None] if apart else s.position
        hidden = backbone(s.x, positions, s.cache, window)[:, -1]  # [B, D]
        logits = backbone.codebook0_head(hidden)  # [B, V]
        # a frame of zeros ends a take
        logits[:, :1] = logits[:, :1].masked_fill((s.counter < s.least)[:, None], float("-inf"))
        u = s.u[self._takes, s.counter]  # [B, K]
        wanted = logits
        if (penalty := self.sampling.repetition_penalty) != 1:
            wanted = penalized(logits, self._recent(), penalty)
        code = draw(wanted, u[:, 0], self.sampling, backbone.config.codebook_size)[:, None]  # [B, 1]
        log_p = logits.float().log_softmax(-1).gather(1, code)[:, 0]  # [B]
        # depth decoder: codebooks 1..k-1
        codes = self.depth(hidden, code, u)  # [B, k]
        for table, row in ((s.codes, codes), (s.log_p, log_p), (s.hidden, hidden)):
            table[s.counter, self._takes] = row
        # the next row
        s.x.copy_(backbone.embed_frame(codes))
        s.position.add_(1)
        s.counter.add_(1)

    def _recent(self) -> Tensor:
        """Codebook 0 of the last frames [B, RECENT]; -1 before the first one."""
        s = self.state
        frames = s.counter - torch.arange(1, RECENT + 1, device=s.counter.device)[:, None]  # [RECENT, N]
        codes = s.codes[frames.clamp(min=0), self._takes, 0]
        return codes.masked_fill(frames < 0, -1).T

    def parts(self) -> dict[str, Callable[[], object]]:
        """Pieces of a frame, by name, each to be timed alone."""
        s, config = self.state, self.backbone.config
        code = s.codes[0, :, :1].clamp(max=config.codebook_size - 1)
        return {
            "backbone": lambda: self.backbone.codebook0_head(self.backbone(s.x, s.position, s.cache)[:, -1]),
            "depth": lambda: self.depth(s.hidden[0], code, s.u[:, 0]),
        }
