"""A take put together anew: old frames that stay, and between them candidates in the place of others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.takes import Span, Take, Word
from .candidates import Candidate


class Part(NamedTuple):
    """What stands for the old frames start..end-1: themselves, or one of these candidates, the best first.

    ``span`` is the number of the span that the candidates' words belong to.
    """

    start: int
    end: int
    candidates: tuple[Candidate, ...] = ()
    span: int = 0

    def chosen(self, rank: int) -> Candidate | None:
        """The candidate of this rank, or the last; None if the old frames stay."""
        return self.candidates[min(rank, len(self.candidates) - 1)] if self.candidates else None


class Rebuilt:
    """Parts that replace the ``old`` frames [T, k] of a take, from left to right."""

    def __init__(self, old: Tensor):
        self.old = old
        self.parts: list[Part] = []

    @property
    def done(self) -> int:
        """How many old frames have been dealt with."""
        return self.parts[-1].end if self.parts else 0

    @property
    def following(self) -> int:
        """The first old frame that follows the best result so far."""
        chosen = self.parts[-1].chosen(0) if self.parts else None
        return self.done + (chosen.skipped if chosen else 0)

    @property
    def ranks(self) -> int:
        """How many results there are."""
        return max((len(part.candidates) for part in self.parts), default=0) or 1

    def keep(self, end: int) -> None:
        """Old frames stay, up to ``end``."""
        if end > self.done:
            self.parts.append(Part(self.done, end))

    def fill(self, end: int, candidates: Sequence[Candidate], span: int) -> None:
        """Candidates stand for the old frames up to ``end``, in the span of this number."""
        self.parts.append(Part(self.done, end, tuple(candidates), span))

    def frames(self, first: int = 0, rank: int = 0) -> Tensor:
        """The frames of a result from part number ``first`` on."""
        return torch.cat([self.old[:0], *self._pieces(rank)[first:]])

    def take(
        self, like: Codes, spans: Iterable[tuple[Span, str]], words: Mapping[tuple[int, int], Word], rank: int
    ) -> Codes:
        """A result as codes of one take.

        ``spans`` are those of the old frames, each with the text that it has now ("" if it is gone), and
        ``words`` those that stay, in old frames, by the numbers of their spans and in them.
        """
        pieces = self._pieces(rank)
        starts = [0, *accumulate(map(len, pieces))]

        def place(frame: float) -> float:
            """Where an old frame is now."""
            at = next((i for i, part in enumerate(self.parts) if frame < part.end), len(pieces) - 1)
            before = self.parts[at - 1].chosen(rank) if at else None
            inside = frame - self.parts[at].start - (before.skipped if before else 0)
            return starts[at] + min(max(inside, 0), len(pieces[at]))

        found = {i: replace(w, start=place(w.start), end=place(w.end)) for i, w in words.items()}
        for start, part in zip(starts, self.parts):
            if chosen := part.chosen(rank):
                for i, word in chosen.words.items():
                    found[part.span, i] = replace(word, start=start + word.start, end=start + word.end)
        ordered = sorted(found.values(), key=lambda word: word.start)
        ends = [*(word.start for word in ordered[1:]), math.inf]
        ordered = [replace(word, end=min(word.end, end)) for word, end in zip(ordered, ends)]
        now = [
            replace(span, start=int(place(span.start)), end=int(place(span.end)), text=text, exact=True)
            for span, text in spans
            if text
        ]
        old = like.takes[0]
        take = Take(old.seed, None, tuple(now), words=tuple(ordered))
        return like.like(self.frames(rank=rank).T[None], takes=[take])

    def kept(self) -> tuple[tuple[int, int, int], ...]:
        """(start, end, place): old frames start..end-1 are at ``place`` and on in the best result.

        Raises AssertionError if they are not, bit for bit.
        """
        whole, at = self.frames(), 0
        found: list[tuple[int, int, int]] = []
        for part, piece in zip(self.parts, self._pieces(0)):
            if not part.candidates and len(piece):
                start = part.end - len(piece)
                assert torch.equal(whole[at : at + len(piece)], self.old[start : part.end])
                if found and found[-1][1] == start and found[-1][2] + start - found[-1][0] == at:
                    found[-1] = (found[-1][0], part.end, found[-1][2])
                else:
                    found.append((start, part.end, at))
            at += len(piece)
        return tuple(found)

    def _pieces(self, rank: int) -> list[Tensor]:
        """The frames of each part."""
        pieces, skipped = [], 0
        for part in self.parts:
            chosen = part.chosen(rank)
            pieces.append(chosen.frames if chosen else self.old[part.start + skipped : part.end])
            skipped = chosen.skipped if chosen else 0
        return pieces
