"""Dates, times of day, years and decades."""

from __future__ import annotations

import re
from functools import cache

from .language import Language, Rule, either
from .numerals import START, cardinal, ordinal, year

_CLOCK = r"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?"
_HALF = r"\s?([AaPp])(?:\.\s?[Mm](\.)|[Mm]\b)"  # of the day
_YEAR = r"(1[1-9]\d\d|20\d\d)"
# what follows a number that counts things rather than years
_COUNTED = r"\s+(?!(?:is|was|has|as|this|its|does|saw|plus|minus|times|equals|census|whereas)\b)[a-z]{2,}s\b"


@cache
def rules(language: Language) -> list[Rule]:
    words = language.words
    month = rf"({either({*language.months, *(m.title() for m in language.months)})})\b\.?"
    monthly = rf"\b{month}\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?![:\d%/])(?:,?\s+(\d{{4}})\b)?"
    the_day = rf"{START}(?:{words['the']}\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:{words['of']}\s+)?"
    daily = rf"{the_day}{month}(?:,?\s+(\d{{4}})\b)?"

    def date(month: str | None, day: str, year_: str | None) -> str | None:
        if month is None or not 1 <= int(day) <= 31:
            return None
        return f"{month} {ordinal(int(day), language)}" + (f", {year(int(year_), language)}" if year_ else "")

    def numbered(month: str, day: str, year_: str) -> str | None:
        names = list(dict.fromkeys(language.months.values()))
        known = 1 <= int(month) <= 12
        return date(names[int(month) - 1] if known else None, day, year_)

    def slashed(m: re.Match[str]) -> str | None:
        first, second, year_ = m.groups()
        if len(year_) == 2:
            year_ = ("19" if int(year_) > 40 else "20") + year_
        in_order = (first, second) if language.date_order == "mdy" else (second, first)
        return numbered(*in_order, year_) or numbered(*in_order[::-1], year_)

    def half(m: re.Match[str], letter: str | None, point: str | None) -> str:
        if not letter:
            return ""
        ends = point and re.match(r"[\"')\]]*(?:\s*$|\s+[A-Z])", m.string[m.end() : m.end() + 20])
        return f" {letter.upper()}M" + ("." if ends else "")

    def time(m: re.Match[str]) -> str | None:
        hour, minute, second, letter, point = m.groups()
        said = cardinal(int(hour), language)
        if int(minute):
            oh = f"{words['oh']} " if int(minute) < 10 else ""
            said += f" {oh}{cardinal(int(minute), language)}"
        elif not letter and not second:
            said += f" {words['full hour']}"
        if second:
            unit = words["second" if int(second) == 1 else "seconds"]
            said += f" {words['and']} {cardinal(int(second), language)} {unit}"
        return said + half(m, letter, point)

    def hour(m: re.Match[str]) -> str:
        return cardinal(int(m[1]), language) + half(m, m[2], m[3])

    def decade(m: re.Match[str]) -> str:
        value = int(m[1])
        said = year(value, language) if value >= 1100 else cardinal(value, language)
        return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"

    def short_year(m: re.Match[str]) -> str:
        oh = f"{words['oh']} " if m[1][0] == "0" else ""
        return oh + cardinal(int(m[1]), language)

    return [
        (re.compile(rf"{START}(\d{{4}})-(\d{{2}})-(\d{{2}})(?![\w-])"), lambda m: numbered(m[2], m[3], m[1])),
        (re.compile(rf"{START}(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}|\d{{2}})(?![\w/])"), slashed),
        (re.compile(monthly), lambda m: date(language.months[m[1].lower()], m[2], m[3])),
        (re.compile(rf"\b{month}(?=\s+\d{{4}}\b)"), lambda m: language.months[m[1].lower()]),
        (re.compile(daily), lambda m: date(language.months[m[2].lower()], m[1], m[3])),
        (re.compile(rf"{START}{_CLOCK}(?:{_HALF})?(?![\w:])"), time),
        (re.compile(rf"{START}(1[0-2]|0?[1-9]){_HALF}(?!\w)"), hour),
        (re.compile(r"(?<!\w)'?(1[1-9]\d0|20\d0|[2-9]0)'?s\b"), decade),
        (re.compile(rf"(?<![\w'])'(\d\d)(?=[\s.,;?!)]|$)(?!{_COUNTED})"), short_year),
    ]


@cache
def years(language: Language) -> list[Rule]:
    """Years without a month. Come after amounts, so that what has a unit is none."""
    return [
        (
            re.compile(rf"{START}{_YEAR}(?![\w%°$€£¥-]|[.,:/]\d|{_COUNTED})"),
            lambda m: year(int(m[1]), language),
        ),
    ]
