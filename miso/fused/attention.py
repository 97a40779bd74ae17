"""Attention of single rows over the cache, up to their own position; long contexts are split over programs and put together again.

The split is FlashDecoding's (Dao et al. 2023): each part keeps its greatest score, its sum and its weighted values.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .matvec import wait

_PART = 128  # positions a program looks at, where the cache is longer than that


@triton.jit
def _attend(q, keys, values, position, out, best, total, capacity, scale, S: tl.constexpr, HD: tl.constexpr, KV: tl.constexpr, GROUP: tl.constexpr,
            GP: tl.constexpr, HP: tl.constexpr, PART: tl.constexpr, BT: tl.constexpr, PARTS: tl.constexpr, PDL: tl.constexpr):
    """One row, one KV head and the query heads that share it (GROUP, padded to GP), one part of the context."""
    r, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    wait(PDL)
    h, d = tl.arange(0, GP), tl.arange(0, HP)
    inside = (h < GROUP)[:, None] & (d < HD)[None, :]
    head = (r * KV + kv) * GROUP + h  # [GP] of R * heads
    queries = tl.load(q + head[:, None] * HD + d[None, :], mask=inside, other=0) * scale
    end = tl.minimum(tl.load(position + r % S) + 1, (part + 1) * PART)
    m = tl.full((GP,), float("-inf"), tl.float32)
    n = tl.zeros((GP,), tl.float32)
    acc = tl.zeros((GP, HP), tl.float32)
    base = (r // S * KV + kv).to(tl.int64) * capacity * HD
    for t0 in range(0, PART, BT):
        t = part * PART + t0 + tl.arange(0, BT)
        seen = (t < end)[:, None] & (d < HD)[None, :]
        at = base + t[:, None] * HD + d[None, :]
        k = tl.load(keys + at, mask=seen, other=0).to(tl.float32)
        scores = tl.sum(queries[:, None, :] * k[None, :, :], 2)  # [GP, BT]
        scores = tl.where((t < end)[None, :], scores, float("-inf"))
        higher = tl.maximum(m, tl.max(scores, 1))
        level = tl.where(higher > float("-inf"), higher, 0)  # nothing seen yet: exp(-inf), not of inf - inf
        p = tl.exp(scores - level[:, None])
        shrink = tl.exp(m - level)
        v = tl.load(values + at, mask=seen, other=0).to(tl.float32)
        acc = acc * shrink[:, None] + tl.sum(p[:, :, None] * v[None, :, :], 1)
        n = n * shrink + tl.sum(p, 1)
        m = higher
    if PARTS == 1:
        tl.store(out + head[:, None] * HD + d[None, :], acc / n[:, None], mask=inside)
    else:
        tl.store(out + (head[:, None] * PARTS + part) * HD + d[None, :], acc, mask=inside)
        tl.store(best + head * PARTS + part, m, mask=h < GROUP)
        tl.store(total + head * PARTS + part, n, mask=h < GROUP)


@triton.jit
def _combine(parts, best, total, out, HD: tl.constexpr, HP: tl.constexpr, PARTS: tl.constexpr, PP: tl.constexpr, PDL: tl.constexpr):
    """Put the parts of one head together; parts beyond the position hold nothing (total 0, best -inf)."""
    head = tl.program_id(0)
    wait(PDL)
    i, d = tl.arange(0, PP), tl.arange(0, HP)
    m = tl.load(best + head * PARTS + i, mask=i < PARTS, other=float("-inf"))
    n = tl.load(total + head * PARTS + i, mask=i < PARTS, other=0)
    weight = tl.exp(m - tl.max(m, 0))
    acc = tl.load(parts + (head * PARTS + i[:, None]) * HD + d[None, :], mask=(i < PARTS)[:, None] & (d < HD)[None, :], other=0)
    y = tl.sum(acc * weight[:, None], 0) / tl.sum(n * weight, 0)
    tl.store(out + head * HD + d, y, mask=d < HD)


class Attention:
    """Attention of R rows over caches of one shape, with the room that it needs between its kernels."""

    def __init__(self, rows: int, heads: int, keys: Tensor, pdl: bool):
        _, self.kv, self.capacity, self.dim = keys.shape
        self.rows, self.heads, self.pdl = rows, heads, pdl
        self.parts = 1 if self.capacity <= 2 * _PART else triton.cdiv(self.capacity, _PART)
        self._sums = torch.empty(rows, heads, self.parts, self.dim, device=keys.device)
        self._best, self._total = torch.empty(2, rows, heads, self.parts, device=keys.device)
        self.options = {"launch_pdl": True} if pdl else {}

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor, position: Tensor, out: Tensor) -> None:
        """out [R, heads * H] of queries q [R, heads * H] over keys and values [B, KV, capacity, H] up to position [S]."""
        group, whole = self.heads // self.kv, self.parts == 1
        HP = triton.next_power_of_2(self.dim)
        _attend[(self.rows, self.kv, self.parts)](
            q, keys, values, position, out if whole else self._sums, self._best, self._total, self.capacity, self.dim ** -0.5, S=position.numel(),
            HD=self.dim, KV=self.kv, GROUP=group, GP=triton.next_power_of_2(group), HP=HP, PART=self.capacity if whole else _PART, BT=32,
            PARTS=self.parts, PDL=self.pdl, num_warps=4, **self.options)
        if not whole:
            _combine[(self.rows * self.heads,)](self._sums, self._best, self._total, out, HD=self.dim, HP=HP, PARTS=self.parts,
                                                PP=triton.next_power_of_2(self.parts), PDL=self.pdl, num_warps=2, **self.options)
