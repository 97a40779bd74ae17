"""Sampling: inverse transform sampling of codes from logits, with uniform numbers drawn in advance.

Randomness is data: the uniform numbers of a take, one for each frame and codebook, come from its own seed
before sampling starts. So a seed means the same on every device and beside any other takes, and a frame can
be drawn again with the same numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..errors import MisoError


@dataclass(frozen=True)
class Sampling:
    """From which ids a code is drawn. Temperature 0 or top-k 1 is greedy; top-k 0 keeps every id.

    ``top_p`` keeps the most likely ids that together have this probability (nucleus sampling, Holtzman et al.
    2019), ``min_p`` those that have at least this share of the most likely one's probability (Nguyen et al.
    2024); 1 and 0 keep all. Both apply after temperature and top-k.

    ``repetition_penalty`` makes the codes of the last ``RECENT`` frames less likely (see ``penalized``); 1
    doesn't. It applies to codebook 0 of a run, so not to the depth decoder's own sampling.

    Raises MisoError if one of them is out of range.
    """

    temperature: float = 0.9
    top_k: int = 50
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self):
        if not 0 <= self.temperature <= 100:  # refuses NaN too
            raise MisoError(
                f"temperature is {self.temperature}.",
                "Use 0 (greedy) to about 1.5; 0.9 is usual.",
                input="temperature",
            )
        if self.top_k < 0:
            raise MisoError(
                f"top_k is {self.top_k}.", "Use 0 (no limit) or more; 50 is usual.", input="top_k"
            )
        if not 0 < self.top_p <= 1:
            raise MisoError(f"top_p is {self.top_p}.", "Use more than 0, up to 1 (no limit).", input="top_p")
        if not 0 <= self.min_p < 1:
            raise MisoError(f"min_p is {self.min_p}.", "Use 0 (no limit) to 0.99.", input="min_p")
        if not 1 <= self.repetition_penalty <= 10:
            raise MisoError(
                f"repetition_penalty is {self.repetition_penalty}.",
                "Use 1 (none) to 10; 1.1 to 1.3 is usual.",
                input="repetition_penalty",
            )

    @property
    def greedy(self) -> bool:
        return self.temperature == 0 or self.top_k == 1

    @property
    def plain(self) -> bool:
        """Whether temperature and top-k alone decide which ids are left."""
        return self.top_p == 1 and self.min_p == 0

    def described(self) -> dict[str, float]:
        """For keys and provenance: what is at its default and was added later is left out."""
        return {name: value for name, value in asdict(self).items() if _ADDED.get(name) != value}


_ADDED = {"top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
RECENT = 25  # frames, 2 s of speech
_HIGH = 0x9E3779B9  # keeps the two halves of a seed apart


def uniforms(seeds: list[int], frames: int, codebooks: int) -> Tensor:
    """Uniform numbers in [0, 1), [B, frames, codebooks] fp32 on the CPU.

    The first n frames of a seed are the same for any number of frames.
    """
    table = torch.empty(len(seeds), frames, codebooks)
    for row, seed in zip(table, seeds):
        # 23 bits: u * total then stays below total in fp32, so that the inverse CDF always finds an id
        bits = _random_bits(seed % 2**32, row.shape)
        if high := seed % 2**64 >> 32:  # torch's CPU generator keeps 32 bits of a seed
            bits ^= _random_bits(high ^ _HIGH, row.shape)
        row.copy_(bits).mul_(2.0**-23)
    return table


def _random_bits(seed: int, shape: torch.Size) -> Tensor:
    return torch.randint(2**23, shape, generator=torch.Generator().manual_seed(seed))


def draw(logits: Tensor, u: Tensor, sampling: Sampling, codebook_size: int) -> Tensor:
    """Draw ids [B] below ``codebook_size`` from logits [B, V] with uniform numbers u [B].

    The distribution is softmax(logits / temperature) over the ``top_k`` most likely ids, computed in fp32;
    ids tied with the k-th are kept, as in the published sampler. ``Sampling`` can narrow it further. Greedy
    returns the lowest of the most likely ids. Shapes are static, and nothing is read on the host, so that it
    can be part of a CUDA graph.
    """
    if sampling.greedy:
        return logits[:, :codebook_size].float().argmax(-1)
    p = probabilities(logits, sampling, codebook_size)
    # -1 where the probability is 0, so that such an id is never the first above the target
    cdf = p.cumsum(-1).masked_fill(p == 0, -1)
    target = u[:, None] * cdf.amax(-1, keepdim=True)
    return (cdf > target).to(torch.uint8).argmax(-1)


def penalized(logits: Tensor, recent: Tensor, penalty: float) -> Tensor:
    """Logits [B, V] in which the ids ``recent`` [B, N] (-1: none) are less likely.

    Positive logits are divided by the penalty, negative ones multiplied with it (Keskar et al. 2019, CTRL,
    arXiv 1909.05858). Static shapes, no host read.
    """
    seen = torch.zeros(len(logits), logits.shape[1] + 1, dtype=torch.bool, device=logits.device)
    seen = seen.scatter_(1, recent + 1, True)[:, 1:]
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def probabilities(logits: Tensor, sampling: Sampling, codebook_size: int) -> Tensor:
    """The distribution [B, codebook_size] that ``draw`` draws from, of logits [B, V]; not for greedy
    sampling."""
    logits = logits[:, :codebook_size].float()
    if 0 < sampling.top_k < logits.shape[-1]:
        kth = logits.topk(sampling.top_k, -1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, float("-inf"))
    # subtract before dividing, or a tiny temperature would overflow
    logits = logits - logits.amax(-1, keepdim=True)
    # accumulate in the order of ids: a sort would order ties differently on each device
    p = torch.softmax(logits / sampling.temperature, -1)
    if sampling.plain:
        return p
    if sampling.min_p:
        p = p.masked_fill(p < sampling.min_p * p.amax(-1, keepdim=True), 0)
    if sampling.top_p < 1:
        falling = p.sort(-1, descending=True).values
        # In the nucleus are ids before which the probability isn't reached; those tied with its last stay.
        above = falling.cumsum(-1) - falling
        inside = above < sampling.top_p * falling.sum(-1, keepdim=True)
        least = falling.masked_fill(~inside, 2).amin(-1, keepdim=True)
        p = p.masked_fill(p < least, 0)
    return p / p.sum(-1, keepdim=True)
