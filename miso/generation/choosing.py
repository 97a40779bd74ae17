"""Choosing among takes by ear: a recogniser hears them, in passes until one is good enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from ..audio.recogniser import AUTO, Recogniser
from ..audio.word_errors import error_rate, words
from ..codes.codes import Codes, as_takes
from ..codes.hidden import Hidden
from ..codes.ranking import Ranked, rank
from ..errors import MisoError
from ..progress import Progress
from ..text.normalization.languages import LANGUAGES
from ..text.normalize import normalize
from ..vocoders.decode import decode_codes
from ..vocoders.vocoder import Vocoder

LATIN_END = "\u0250"  # the first character after the Latin letters


class Heard(NamedTuple):
    """What was heard of a take."""

    text: str
    error: float  # word error rate: the share of words that are missing, wrong or too many


def hear(
    codes: Codes,
    vocoder: Vocoder,
    recogniser: Recogniser,
    text: str = "",
    progress: Progress = lambda done, total: None,
) -> list[Heard]:
    """What a recogniser hears of every take, and how far that is from ``text`` (default: the take's own).

    ``progress`` counts takes. Raises MisoError for codes that don't know their text, and as ``decode_codes``
    does.
    """
    heard = []
    for i, take in enumerate(codes.takes):
        if not (wanted := text.strip() or take.text):
            raise MisoError(
                "These codes don't know what they say.", "Type it into text, word for word.", input="text"
            )
        said = ""
        if codes.lengths[i]:
            report = partial(_report, progress, i, codes.batch)
            wave = decode_codes(vocoder, codes.take(i), report).waveform[0, 0]
            said = recogniser.transcribe(wave, vocoder.sample_rate, report)
        heard.append(Heard(said, word_error(wanted, said, recogniser.language)))
    progress(codes.batch, codes.batch)
    return heard


def _report(progress: Progress, take: int, takes: int, done: int, total: int) -> None:
    """Progress within a take: it counts whole takes, but can interrupt."""
    progress(take, takes)


def word_error(text: str, heard: str, language: str = AUTO) -> float:
    """The word error rate of ``heard``, where ``text`` was to be said; both in words first."""
    wanted, got = (words_of(said, language) for said in (text, heard))
    return error_rate([wanted], [got])


def words_of(text: str, language: str = AUTO) -> list[str]:
    """The words of a text as they are compared, numbers and signs too if the language can be normalized.

    ``auto`` is taken for English in Latin letters, and for another language in others.
    """
    if language == AUTO and all(c < LATIN_END or not c.isalpha() for c in text):
        language = "en"
    return words(normalize(text, language).text if language in LANGUAGES else text)


def seeds_of_passes(seed: int, at_once: int, most: int) -> Iterator[tuple[int, int]]:
    """The first seed and the number of takes of each pass: ``most`` takes of the seeds from ``seed`` on."""
    for first in range(0, most, at_once):
        yield seed + first, min(at_once, most - first)


@dataclass
class Found:
    """The takes of the passes so far."""

    passes: list[Codes] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    def add(self, codes: Codes, hidden: Hidden, heard: list[Heard]) -> None:
        self.passes.append(codes)
        self.hidden.append(hidden)
        self.heard += heard

    @property
    def takes(self) -> int:
        return len(self.heard)

    @property
    def ranking(self) -> list[Ranked]:
        return rank(as_takes(self.passes), [heard.error for heard in self.heard])

    def good_enough(self, threshold: float) -> bool:
        """Whether the best ended by itself in a plausible time, at a word error rate of ``threshold``."""
        best = self.ranking[0]
        return best.sound and self.heard[best.take].error <= threshold

    def pick(self, take: int) -> tuple[Codes, Hidden]:
        """A take, from 0 over all passes, and its hidden states."""
        for codes, hidden in zip(self.passes, self.hidden):
            if take < codes.batch:
                return codes.take(take), hidden.takes([take])
            take -= codes.batch
        raise IndexError(take)
