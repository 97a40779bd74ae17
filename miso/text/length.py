"""How long a text takes to say: an estimate that needs no model."""

from __future__ import annotations

import unicodedata

_CHARACTER = 0.0575  # seconds of a letter, space or mark: training.figures says of which speech
_DIGIT = 0.3  # "1984" is four words
_SYLLABLE = 0.22  # a Chinese, Japanese or Korean character
_START = 0.07


def expected_seconds(text: str) -> float:
    """Typical seconds of speech. Real speech is within half and twice that."""
    return _START + sum(map(_seconds, text))


def most_seconds(text: str) -> float:
    """A limit that no speech of the text should reach: it goes on after the text, or doesn't end."""
    return 2.5 * expected_seconds(text) + 1.5


def _seconds(character: str) -> float:
    if character.isdecimal():
        return _DIGIT
    if character < "ᄀ":  # no wide character comes before Hangul
        return _CHARACTER
    return _SYLLABLE if unicodedata.east_asian_width(character) in "WF" else _CHARACTER
