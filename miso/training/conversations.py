"""Training data of the language model: conversations of one to four utterances in batches of similar lengths.

Each epoch shuffles all utterances into new conversations. An utterance is a target and, if others follow it,
also their history with its exact codes. So the model treats voice prompts, dialogue and continuation in the
same way.
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
from ..text.phonemes import SYMBOLS
from ..text.tokenizer import Tokenizer
from .coded import CodedSpeech, Utterance
from .settings import LMSettings

# batches are padded to a multiple of these rows, so that there are few shapes to allocate
_ROWS_MULTIPLE = 32
_FRAMES_MULTIPLE = _ROWS_MULTIPLE // 4
_ANONYMOUS = 8  # speaker numbers, after those of the named voices, for speakers without a number


class Batch(NamedTuple):
    """Arguments of ``loss.loss``. Targets are the codes of the next row if it is a frame or an end frame."""

    rows: Tensor  # [B, S, K+1]
    mask: Tensor  # [B, S, K+1]; False after the end of a conversation
    targets: Tensor  # [B, S, K]
    targets_mask: Tensor  # [B, S, K]
    picked: Tensor  # [B, n], rows whose frames train the depth decoder

    def to(self, device: torch.device) -> Batch:
        if device.type == "cuda":
            return Batch(*(t.pin_memory().to(device, non_blocking=True) for t in self))
        return Batch(*(t.to(device) for t in self))


@dataclass(frozen=True)
class Line:
    """One or more utterances of a voice, with its speaker number, and their text as the model reads it.

    The text may be spelt by ``Tokenizer.spell``, by its letters, or empty.
    """

    utterances: tuple[Utterance, ...]
    speaker: int
    text: str

    @property
    def frames(self) -> int:
        return sum(u.frames for u in self.utterances)


class Conversations:
    """Makes batches of the utterances of a split; an epoch is determined by its number and the seed."""

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
        self._spell = cache(self._spelled)  # looking up phonemes takes milliseconds
        self.speakers = speakers or {voice: i for i, voice in enumerate(coded.voices)}
        self._first_anonymous = max(self.speakers.values(), default=-1) + 1

    def epoch(self, number: int) -> list[list[list[Line]]]:
        """Batches of conversations of lines, in the order of training."""
        rng = random.Random(f"{self.seed} {number}")
        deck = list(self.utterances)
        rng.shuffle(deck)
        same_voice = int(len(deck) * self.settings.same_voice)
        by_voice = sorted(deck[:same_voice], key=lambda u: u.voice)  # stable: each voice stays shuffled
        conversations = [
            self._lines(c, rng)
            for c in (*self._cut(by_voice, rng, True), *self._cut(deck[same_voice:], rng, False))
        ]
        rng.shuffle(conversations)
        conversations.sort(key=self._rows)
        batches: list[list[list[Line]]] = []
        batch: list[list[Line]] = []
        for conversation in conversations:  # sorted by length: the last one of a batch is the longest
            longest = _round_up(self._rows(conversation), _ROWS_MULTIPLE)
            if batch and (len(batch) + 1) * longest > self.settings.tokens:
                batches.append(batch)
                batch = []
            batch.append(conversation)
        batches.append(batch)
        rng.shuffle(batches)
        return batches

    def batches(self, epoch: int, index: int) -> Iterator[tuple[int, int, Batch]]:
        """Epoch, index in the epoch and batch, endlessly from the given epoch and index."""
        while True:
            plan = self.epoch(epoch)
            for i in range(index, len(plan)):
                yield epoch, i, self.build(plan[i], f"{epoch} {i}")
            epoch, index = epoch + 1, 0

    def build(self, conversations: list[list[Line]], name: str = "") -> Batch:
        """A batch of conversations, padded on the right; ``name`` and the seed determine its draws."""
        built = [self._build(c) for c in conversations]
        K = self.config.codebooks
        S = _round_up(max(len(rows) for rows, _ in built), _ROWS_MULTIPLE)
        rows = np.zeros((len(built), S, K + 1), np.int64)
        mask = np.zeros((len(built), S, K + 1), bool)
        for b, (r, m) in enumerate(built):
            rows[b, : len(r)], mask[b, : len(r)] = r, m
        targets, targets_mask = np.zeros((len(built), S, K), np.int64), np.zeros((len(built), S, K), bool)
        targets[:, :-1], targets_mask[:, :-1] = rows[:, 1:, :K], mask[:, 1:, :K]
        rng = np.random.default_rng([self.seed % 2**32, *name.encode()])
        chance = rng.random((len(built), S)) - ~targets_mask[..., 0]
        most_frames = int(targets_mask[..., 0].sum(1).max())
        n = _round_up(max(1, round(self.settings.picked * most_frames)), _FRAMES_MULTIPLE)
        picked = np.argsort(-chance, 1)[:, :n]
        unseen = rng.random((len(built), S)) < self.settings.unseen
        mask[..., :K] &= ~(unseen & rows[..., :K].any(2))[..., None]  # end frames are never hidden
        return Batch(*map(torch.from_numpy, (rows, mask, targets, targets_mask, picked)))

    def _build(self, conversation: list[Line]) -> tuple[np.ndarray, np.ndarray]:
        """Rows and mask [S, K+1] of one conversation, as ``TextEncoder.rows`` builds them."""
        K, parts = self.config.codebooks, []
        for line in conversation:
            ids = self._ids(line)
            codes = np.concatenate([self.coded.codes_of(u).numpy()[:, :K] for u in line.utterances])
            part = np.zeros((len(ids) + len(codes) + 1, K + 1), np.int64)
            part[: len(ids), K] = ids
            part[len(ids) : -1, :K] = codes
            mask = np.zeros(part.shape, bool)
            mask[: len(ids), K] = True
            mask[len(ids) :, :K] = True
            parts.append((part, mask))
        rows, masks = zip(*parts)
        return np.concatenate(rows), np.concatenate(masks)

    def _ids(self, line: Line) -> list[int]:
        return self.tokenizer.encode(
            self.config.conventions.prompt.format(speaker=line.speaker, text=line.text)
        )

    def _rows(self, conversation: list[Line]) -> int:
        return sum(len(self._ids(line)) + line.frames + 1 for line in conversation)

    def _cut(self, deck: list[Utterance], rng: random.Random, one_voice: bool) -> Iterator[list[Utterance]]:
        """Cut the deck into conversations of 1 to 4 utterances that fit the model's positions."""
        sizes, shares = range(1, len(self.settings.segments) + 1), self.settings.segments
        first = 0
        while first < len(deck):
            taken = deck[first : first + rng.choices(sizes, shares)[0]]
            if one_voice:
                taken = [u for u in taken if u.voice == taken[0].voice]
            while len(taken) > 1 and _most_rows(taken) > self.config.positions:
                taken.pop()
            first += len(taken)
            yield taken

    def _lines(self, conversation: list[Utterance], rng: random.Random) -> list[Line]:
        """Choose lines, speaker numbers and texts.

        Some conversations of one voice become a single line of several sentences. Voices without a number,
        and all voices in some conversations, get a number after those of the named voices. Some texts are
        left out.
        """
        voices = list(dict.fromkeys(u.voice for u in conversation))
        anonymous = rng.random() < self.settings.anonymous
        numbers = dict(
            zip(
                voices,
                rng.sample(range(self._first_anonymous, self._first_anonymous + _ANONYMOUS), len(voices)),
            )
        )
        if not anonymous:
            numbers |= {v: self.speakers[v] for v in voices if v in self.speakers}
        lines: list[tuple[Utterance, ...]] = [(u,) for u in conversation]
        if self.settings.joined and len(voices) == 1 and rng.random() < self.settings.joined:
            lines = [tuple(conversation)]
        return [Line(line, numbers[line[0].voice], self._text(line, rng)) for line in lines]

    def _text(self, utterances: tuple[Utterance, ...], rng: random.Random) -> str:
        if rng.random() < self.settings.no_text:
            return ""
        texts = [u.text.lstrip() if self.config.conventions.strip else u.text for u in utterances]
        if rng.random() < self.settings.letters:
            return " ".join(texts)
        spelt = (self._spell(text, u.phonemes) for text, u in zip(texts, utterances))
        return (self.tokenizer.space or " ").join(spelt)

    def _spelled(self, text: str, phonemes: str) -> str:
        """What the prompt has for a text. Phonemes of other alphabets than the model's are not used."""
        return self.tokenizer.spell(text, known=phonemes if set(phonemes) <= set(SYMBOLS) else "")


def _most_rows(utterances: list[Utterance]) -> int:
    """Upper bound of the rows of a conversation: text bytes, frames, and the prompt's other tokens."""
    return sum(len(u.text.encode()) + u.frames + 12 for u in utterances)


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
