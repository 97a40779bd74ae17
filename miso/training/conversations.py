"""What the language model reads: conversations of one to four utterances, as rows, in batches of about equal lengths.

Each epoch deals all utterances anew, so that each is once spoken and, where others follow, once history with its exact codes. So
voice prompts, dialogue and continuation are all the same thing to the model: what was said before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import MisoError
from ..model.config import ModelConfig
from ..text.tokenizer import Tokenizer
from .coded import CodedSpeech, Utterance
from .presets import LMSettings

_ROUND = 32  # rows a batch is filled up to a multiple of, and a quarter of that for the depth decoder's frames: few shapes are allocated quickest
_ANONYMOUS = 8  # numbers, after those of the named voices, for speakers that only their sound tells apart


class Batch(NamedTuple):
    """As ``loss.loss`` wants it: targets are the codes of the next row, where that is a frame (an end frame too)."""

    rows: Tensor  # [B, S, K+1]
    mask: Tensor  # [B, S, K+1]; False beyond a conversation's end
    targets: Tensor  # [B, S, K]
    targets_mask: Tensor  # [B, S, K]
    picked: Tensor  # [B, n] frames for the depth decoder

    def to(self, device: torch.device) -> Batch:
        if device.type == "cuda":
            return Batch(*(t.pin_memory().to(device, non_blocking=True) for t in self))
        return Batch(*(t.to(device) for t in self))


@dataclass(frozen=True)
class Line:
    """An utterance as it is read: with the number of its speaker, and its text as the model reads it, by its letters, or none."""

    utterance: Utterance
    speaker: int
    text: str


class Conversations:
    """Deals utterances of a split into batches; the same epoch of the same seed is the same everywhere."""

    def __init__(
        self,
        coded: CodedSpeech,
        utterances: Sequence[Utterance],
        config: ModelConfig,
        tokenizer: Tokenizer,
        settings: LMSettings,
        seed: int,
        speakers: dict[str, int] | None = None,
    ):
        if not utterances:
            raise MisoError(f"{coded.path.name} has no utterances to train on.", "Prepare more speech.")
        self.coded, self.utterances, self.config = coded, list(utterances), config
        self.tokenizer, self.settings, self.seed = tokenizer, settings, seed
        self._spell = cache(
            tokenizer.spell
        )  # sounds take milliseconds to look up, and every epoch reads them again
        self.speakers = speakers or {voice: i for i, voice in enumerate(coded.voices)}
        self._unnamed = max(self.speakers.values(), default=-1) + 1

    def epoch(self, number: int) -> list[list[list[Line]]]:
        """Batches of conversations of lines, in the order they are trained."""
        draw = random.Random(f"{self.seed} {number}")
        deck = list(self.utterances)
        draw.shuffle(deck)
        alone = int(len(deck) * self.settings.same_voice)
        by_voice = sorted(deck[:alone], key=lambda u: u.voice)  # stable: still shuffled within a voice
        conversations = [
            self._lines(c, draw)
            for c in (*self._cut(by_voice, draw, True), *self._cut(deck[alone:], draw, False))
        ]
        draw.shuffle(conversations)
        conversations.sort(key=self._rows)
        batches, batch = [], []
        for conversation in conversations:  # in order of length: the last is the longest
            if batch and (len(batch) + 1) * _up(self._rows(conversation), _ROUND) > self.settings.tokens:
                batches.append(batch)
                batch = []
            batch.append(conversation)
        batches.append(batch)
        draw.shuffle(batches)
        return batches

    def batches(self, epoch: int, index: int) -> Iterator[tuple[int, int, Batch]]:
        """Epoch, number in the epoch and batch, from one place on for ever."""
        while True:
            plan = self.epoch(epoch)
            for i in range(index, len(plan)):
                yield epoch, i, self.build(plan[i], f"{epoch} {i}")
            epoch, index = epoch + 1, 0

    def build(self, conversations: list[list[Line]], name: str = "") -> Batch:
        """Rows of conversations, filled up on the right; ``name`` seeds the choice of the depth decoder's frames."""
        made = [self._build(c) for c in conversations]
        K, S = self.config.codebooks, _up(max(len(rows) for rows, _ in made), _ROUND)
        rows = np.zeros((len(made), S, K + 1), np.int64)
        mask = np.zeros((len(made), S, K + 1), bool)
        for b, (r, m) in enumerate(made):
            rows[b, : len(r)], mask[b, : len(r)] = r, m
        targets, targets_mask = np.zeros((len(made), S, K), np.int64), np.zeros((len(made), S, K), bool)
        targets[:, :-1], targets_mask[:, :-1] = rows[:, 1:, :K], mask[:, 1:, :K]
        draw = np.random.default_rng([self.seed % 2**32, *name.encode()])
        chance = draw.random((len(made), S)) - ~targets_mask[..., 0]
        n = _up(max(1, round(self.settings.picked * int(targets_mask[..., 0].sum(1).max()))), _ROUND // 4)
        picked = np.argsort(-chance, 1)[:, :n]
        unseen = draw.random((len(made), S)) < self.settings.unseen
        mask[..., :K] &= ~(unseen & rows[..., :K].any(2))[..., None]  # an end is always seen
        return Batch(*map(torch.from_numpy, (rows, mask, targets, targets_mask, picked)))

    def _build(self, conversation: list[Line]) -> tuple[np.ndarray, np.ndarray]:
        """Rows and mask [S, K+1] of one conversation, as ``TextEncoder.rows`` makes them of its segments."""
        K, parts = self.config.codebooks, []
        for line in conversation:
            ids = self._ids(line)
            codes = self.coded.of(line.utterance).numpy()[:, :K]
            part = np.zeros((len(ids) + len(codes) + 1, K + 1), np.int64)
            part[: len(ids), K] = ids
            part[len(ids) : -1, :K] = codes
            mask = np.zeros(part.shape, bool)
            mask[: len(ids), K] = True
            mask[len(ids) :, :K] = True
            parts.append((part, mask))
        rows, mask = (np.concatenate(p) for p in zip(*parts))
        return rows, mask

    def _ids(self, line: Line) -> list[int]:
        return self.tokenizer.encode(
            self.config.conventions.prompt.format(speaker=line.speaker, text=line.text)
        )

    def _rows(self, conversation: list[Line]) -> int:
        return sum(len(self._ids(line)) + line.utterance.frames + 1 for line in conversation)

    def _cut(self, deck: list[Utterance], draw: random.Random, one_voice: bool) -> Iterator[list[Utterance]]:
        """Conversations of 1 to 4 utterances off the deck, within the model's positions."""
        sizes, shares = range(1, len(self.settings.segments) + 1), self.settings.segments
        at = 0
        while at < len(deck):
            taken = deck[at : at + draw.choices(sizes, shares)[0]]
            if one_voice:
                taken = [u for u in taken if u.voice == taken[0].voice]
            while (
                len(taken) > 1
                and sum(len(u.text.encode()) + u.frames + 12 for u in taken) > self.config.positions
            ):
                taken.pop()
            at += len(taken)
            yield taken

    def _lines(self, conversation: list[Utterance], draw: random.Random) -> list[Line]:
        """Speaker numbers and texts: voices without a name of their own, and all in some conversations, get a number beyond those of
        the named voices, and some texts are left out."""
        voices = list(dict.fromkeys(u.voice for u in conversation))
        hidden = draw.random() < self.settings.anonymous
        numbers = dict(
            zip(voices, draw.sample(range(self._unnamed, self._unnamed + _ANONYMOUS), len(voices)))
        )
        if not hidden:
            numbers |= {v: self.speakers[v] for v in voices if v in self.speakers}
        return [Line(u, numbers[u.voice], self._text(u, draw)) for u in conversation]

    def _text(self, utterance: Utterance, draw: random.Random) -> str:
        if draw.random() < self.settings.no_text:
            return ""
        text = utterance.text.lstrip() if self.config.conventions.strip else utterance.text
        return text if draw.random() < self.settings.letters else self._spell(text)


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
