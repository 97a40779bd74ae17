"""Keys and values of voices and history, kept for the next run whose prompt begins with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.networks import Backbone
from ..model.transformer import KVCache
from ..text.conditioning import Prompt


class _Kept(NamedTuple):
    keys: list[str]  # one for each segment: of it and all before it
    ends: tuple[int, ...]  # rows up to the end of each
    tensors: tuple[Tensor, Tensor]  # keys and values [L, 1, KV heads, rows, head dim]


class PromptCache:
    """Keys and values of prompts, ``rows`` rows at most in all; the least recently used go first."""

    def __init__(self, rows: int):
        self.rows = rows
        self._kept: list[_Kept] = []  # the least recently used first

    def read(self, keys: list[str], cache: KVCache) -> int:
        """Copy into ``cache`` [1 take] what is kept of the beginning; returns how many segments that is."""
        shared = [_common(kept.keys, keys) for kept in self._kept]
        if not (common := max(shared, default=0)):
            return 0
        kept = self._kept.pop(shared.index(common))
        self._kept.append(kept)
        end = kept.ends[common - 1]
        for table, rows in zip((cache.keys, cache.values), kept.tensors):
            table[:, :, :, :end] = rows[:, :, :, :end]
        return common

    def write(self, keys: list[str], ends: tuple[int, ...], cache: KVCache) -> None:
        """Keep the rows of these segments, if there is memory for them."""
        if any(_common(kept.keys, keys) == len(keys) for kept in self._kept):
            return
        self._kept = [kept for kept in self._kept if _common(kept.keys, keys) < len(kept.keys)]
        while self._kept and sum(kept.ends[-1] for kept in self._kept) + ends[-1] > self.rows:
            self._kept.pop(0)
        try:
            rows = cache.keys[:, :, :, : ends[-1]].clone(), cache.values[:, :, :, : ends[-1]].clone()
        except torch.cuda.OutOfMemoryError:
            self._kept.clear()
            return
        self._kept.append(_Kept(keys, ends, rows))


@torch.inference_mode()
def prefill_history(backbone: Backbone, prompt: Prompt, cache: KVCache) -> int:
    """Run the backbone over the segments before the line; returns how many rows they have.

    ``cache`` is of one take. Segments that ``backbone.kept_prompts`` has are copied from there. The others
    are computed one by one, so that their numbers are the same, bit for bit, whatever was kept.
    """
    ends = prompt.history
    if not ends:
        return 0
    if backbone.kept_prompts is None:
        backbone.kept_prompts = PromptCache(backbone.config.positions)
    kept, keys = backbone.kept_prompts, list(_keys(prompt))
    found = kept.read(keys, cache)
    for start, end in list(pairwise((0, *ends)))[found:]:
        x = backbone.embed(prompt.rows[None, start:end], prompt.mask[None, start:end])
        backbone(x, torch.arange(start, end, device=x.device), cache, window=end)
    kept.write(keys, ends, cache)
    return ends[-1]


def _keys(prompt: Prompt) -> Iterator[str]:
    digest = hashlib.sha256()
    for start, end in pairwise((0, *prompt.history)):
        digest.update(f"{end - start}".encode())
        digest.update(prompt.rows[start:end].numpy().tobytes())
        digest.update(prompt.mask[start:end].numpy().tobytes())
        yield digest.hexdigest()


def _common(a: list[str], b: list[str]) -> int:
    """How many segments two prompts have in common at their beginnings: each key stands for all before it."""
    return sum(x == y for x, y in zip(a, b))
