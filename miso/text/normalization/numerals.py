"""Numerals in words: cardinals, ordinals, years, decimals, and digits one by one."""

from __future__ import annotations

from functools import cache, lru_cache

from ...errors import missing_package
from .language import Language

# an integer or a decimal, with or without commas between thousands
NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
START = r"(?<![\w.,])"  # where a number may begin
LONGEST = 100  # digits that are read; more are left out
_CARDINAL = 9  # digits without commas that are a quantity: more are a telephone's or an account's
_SPELLED = 15  # digits beyond which no quantity is read as one
_GROUP = 4  # digits said in one breath


def number(text: str, language: Language) -> str:
    """The reading of a match of ``NUMBER``: a quantity, or its digits if it is none (007, 12345678901)."""
    whole, _, decimals = text.replace(",", "").partition(".")
    significant = len(whole.rstrip("0"))
    quantity = len(whole) <= (_SPELLED if "," in text or significant <= 3 else _CARDINAL)
    if (whole[0] == "0" and len(whole) > 1) or not quantity:
        words = digits(whole, language)
    else:
        words = cardinal(int(whole), language)
    return f"{words} {point(decimals, language)}" if decimals else words


def point(decimals: str, language: Language) -> str:
    """What follows the point, digit by digit: point one four."""
    return " ".join([language.words["point"], *(cardinal(int(digit), language) for digit in decimals)])


def digits(text: str, language: Language) -> str:
    """Digit by digit, with a pause after every few."""
    parts = [text[i : i + _GROUP] for i in range(0, len(text), _GROUP)]
    if len(parts) > 1 and len(parts[-1]) == 1:  # no digit alone at the end
        parts[-2:] = [parts[-2] + parts[-1]]
    return ", ".join(" ".join(cardinal(int(digit), language) for digit in part) for part in parts)


def is_one(text: str) -> bool:
    return text in ("1", "-1")


@cache
def _num2words():
    try:
        from num2words import num2words
    except ImportError:
        raise missing_package("num2words", "Reading numbers aloud") from None
    return num2words


@lru_cache(maxsize=4096)
def _words(value: int, kind: str, language: Language) -> str:
    return _num2words()(value, to=kind, lang=language.code).replace(",", "")


def cardinal(value: int, language: Language) -> str:
    return _words(value, "cardinal", language)


def ordinal(value: int, language: Language) -> str:
    return _words(value, "ordinal", language)


def year(value: int, language: Language) -> str:
    """Nineteen oh five; two thousand and five."""
    return _words(value, "year", language).replace("oh-", "oh ")
