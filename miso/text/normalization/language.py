"""The tables that make a language: a new language is a new file like ``english.py``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

# a pattern, and what a match is read as; None leaves the match as it is
Reading = Callable[[re.Match[str]], "str | None"]
Rule = tuple[re.Pattern[str], Reading]


@dataclass(frozen=True)
class Currency:
    one: str
    many: str
    cent: str = ""
    cents: str = ""


@dataclass(frozen=True, eq=False)
class Language:
    """Words of one language. Keys are as they are written, values as they are spoken."""

    code: str  # as num2words knows it
    months: dict[str, str]  # with abbreviations, lower case
    currencies: dict[str, Currency]  # by sign and by ISO code
    cents: dict[str, tuple[str, str]]  # sign of a small coin: one, many
    scales: dict[str, str]  # million, and the letters that stand for it after an amount
    units: dict[str, tuple[str, str]]  # one, many
    fractions: dict[int, tuple[str, str]]  # by denominator
    periods: dict[str, str]  # after a slash: $5/hour
    idioms: dict[str, str]  # whole
    ratios: frozenset[str]  # after which 4:30 is no time
    signs: dict[str, str]  # anywhere
    operators: dict[str, str]  # between numbers
    greek: dict[str, str]
    titles: dict[str, str]  # before a capitalized name; the point may be missing unless it is in the key
    abbreviations: dict[str, str]  # anywhere; those before a number in ``numbered``
    numbered: dict[str, str]
    streets: dict[str, str]  # after a capitalized name
    parts: frozenset[str]  # what has a number in Roman numerals: Chapter IV
    reigns: frozenset[str]  # who has an ordinal in Roman numerals: Henry VIII
    initialisms: frozenset[str]  # capitals that would be read as a word
    words: dict[str, str]  # the words that the rules put in, by the name that they use
    date_order: Literal["mdy", "dmy"] = "mdy"


def either(texts: Iterable[str]) -> str:
    """A pattern for any of ``texts``, the longest first."""
    return "|".join(re.escape(text) for text in sorted(texts, key=lambda text: (-len(text), text)))


def apply(rules: Iterable[Rule], text: str) -> str:
    """``text`` with every match of every rule replaced, rule after rule."""
    for pattern, reading in rules:
        text = pattern.sub(lambda match: _or_as_it_is(reading(match), match), text)  # noqa: B023
    return text


def _or_as_it_is(reading: str | None, match: re.Match[str]) -> str:
    return match.group() if reading is None else reading
