"""How a logit vector becomes a code: one uniform number, drawn beforehand, through the inverse CDF.

Randomness is data. The numbers of a take come from its own seed before sampling starts, one for each (frame, codebook), so a seed
means the same on every device and beside any other takes, and a frame can be drawn again with the very numbers it had.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MisoError


@dataclass(frozen=True)
class Sampling:
    """Temperature and top-k; temperature 0 or top-k 1 is greedy. Top-k 0 keeps every id."""

    temperature: float = 0.9
    top_k: int = 50

    def __post_init__(self):
        if not 0 <= self.temperature <= 100:  # NaN fails too
            raise MisoError(
                f"temperature is {self.temperature}.",
                "Use 0 (greedy) to about 1.5; 0.9 is usual.",
                input="temperature",
            )
        if self.top_k < 0:
            raise MisoError(
                f"top_k is {self.top_k}.", "Use 0 (no limit) or more; 50 is usual.", input="top_k"
            )

    @property
    def greedy(self) -> bool:
        return self.temperature == 0 or self.top_k == 1


def uniforms(seeds: list[int], frames: int, codebooks: int) -> Tensor:
    """Numbers in [0, 1), [B, frames, codebooks] fp32 on the CPU. The first n frames are the same however many are drawn."""
    table = torch.empty(len(seeds), frames, codebooks)
    for row, seed in zip(table, seeds):
        generator = torch.Generator().manual_seed(seed % 2**64)
        # 23 bits: u * total then stays below total in fp32, so that the inverse CDF always ends inside the distribution
        row.copy_(torch.randint(2**23, row.shape, generator=generator)).mul_(2.0**-23)
    return table


def draw(logits: Tensor, u: Tensor, sampling: Sampling, codebook_size: int) -> Tensor:
    """Ids [B] below ``codebook_size`` drawn from logits [B, V] by uniform numbers u [B].

    The distribution is softmax(logits / temperature) over the ``top_k`` likeliest ids, computed in fp32; ids that tie with the
    k-th stay in, as in the published sampler. Greedy takes the lowest of the likeliest ids. No host read, static shapes.
    """
    logits = logits[:, :codebook_size].float()
    if sampling.greedy:
        return logits.argmax(-1)
    if 0 < sampling.top_k < logits.shape[-1]:
        kth = logits.topk(sampling.top_k, -1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, float("-inf"))
    logits = logits - logits.amax(
        -1, keepdim=True
    )  # before the division: a tiny temperature must not overflow
    # cumulated in the order of the ids: the order of a sort's ties would differ from device to device
    p = torch.softmax(logits / sampling.temperature, -1)
    cdf = p.cumsum(-1).masked_fill(
        p == 0, -1
    )  # an id of no probability is never the first to exceed the target
    target = u[:, None] * cdf.amax(-1, keepdim=True)
    return (cdf > target).to(torch.uint8).argmax(-1)
