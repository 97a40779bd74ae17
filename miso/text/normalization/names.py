"""Addresses of the web, abbreviations, Roman numerals after names, initialisms."""

from __future__ import annotations

import re
from functools import cache

from .language import Language, Rule, either
from .numerals import cardinal, ordinal

_ROMAN = r"((?=[IVX])X{0,3}(?:IX|IV|V?I{0,3}))"
_VALUES = {"I": 1, "V": 5, "X": 10}
_TOP = "com|org|net|edu|gov|io|ai|dev|app|info|tv|uk|de|fr|eu|ca|au|ch|at|jp|nl"
_ENDS = re.compile(r"[\"')\]]*\s*(?:\n|$)")  # after the last word of a paragraph
_LOOK = 40  # characters around a match that are looked at


@cache
def addresses(language: Language) -> list[Rule]:
    """Web and e-mail addresses. Come first."""
    words = language.words
    said = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark"}
    separators = {sign: words[name] for sign, name in said.items()}

    def spoken(m: re.Match[str]) -> str:
        text = re.sub(r"^https?://(?:www\.)?|^www\.", "", m[0]).strip("/")
        for sign, word in separators.items():
            text = text.replace(sign, f" {word} ")
        return text

    return [
        (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"), spoken),
        (re.compile(r"\b(?:https?://|www\.)[^\s<>\"]{0,2000}[\w/]"), spoken),
        (
            re.compile(
                rf"(?<![\w.@-])[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,4}}\.(?:{_TOP})\b(?:/[^\s<>\"]{{0,500}}\w)?"
            ),
            spoken,
        ),
    ]


@cache
def rules(language: Language) -> list[Rule]:
    words = language.words
    named = r"[A-Z][a-z]{1,20}|\d{1,3}(?:st|nd|rd|th)"
    pointed = [title[:-1] for title in language.titles if title.endswith(".")]
    loose = [title for title in language.titles if not title.endswith(".")]

    def title(m: re.Match[str]) -> str:
        name = m[1] or m[2]
        return language.titles.get(name) or language.titles[f"{name}."]

    def street(m: re.Match[str]) -> str:
        ends = m[3] and _ENDS.match(m.string, m.end())
        return f"{m[1]} {language.streets[m[2]]}" + ("." if ends else "")

    def abbreviation(m: re.Match[str]) -> str:
        point = m[1].endswith(".") and _ENDS.match(m.string, m.end())
        return language.abbreviations[m[1]] + ("." if point else "")

    def part(m: re.Match[str]) -> str | None:
        return f"{m[1]} {cardinal(roman(m[2]), language)}" if m[2] else None

    def reign(m: re.Match[str]) -> str | None:
        return f"{m[1]} {words['the']} {ordinal(roman(m[2]), language)}"

    def initials(m: re.Match[str]) -> str | None:
        start, end = m.span()
        before = m.string[max(0, start - _LOOK) : start].split()[-1:]
        after = m.string[end : end + _LOOK].split()[:1]
        shouted = (re.sub(r"\W", "", word) for word in (*before, *after))
        if any(len(w) > 1 and w.isupper() and w not in language.initialisms for w in shouted):
            return None
        return ".".join(m[0]) + ("" if m.string[end : end + 1] == "." else ".")

    return [
        (
            re.compile(rf"\b({named}) ({either(language.streets)})\b(\.?)(?!\w| ?[A-Z])"),
            street,
        ),
        (re.compile(rf"\b(?:({either(loose)})\.?|({either(pointed)})\.)(?=\s(?:[A-Z]|&))"), title),
        (
            re.compile(rf"(?<![\w.])({either(language.numbered)})\s?(?=\d)"),
            lambda m: f"{language.numbered[m[1]]} ",
        ),
        (re.compile(rf"(?<![\w.])({either(language.abbreviations)})(?!\w)"), abbreviation),
        (re.compile(rf"\b({either(language.parts)})\s{_ROMAN}\b(?!['.]\w)"), part),
        (re.compile(rf"\b({either(language.reigns)})\s(?!I\b|X\b){_ROMAN}\b(?!['.]\w)(?<!\s)"), reign),
        (
            re.compile(rf"\b({either(language.reigns)})\s(I|X)(?=\s(?:of|was|and|in|reigned|died)\b|'s)"),
            reign,
        ),
        (re.compile(rf"(?<![\w.-])(?:{either(language.initialisms)})(?![\w-])"), initials),
    ]


def roman(numeral: str) -> int:
    """The value of a Roman numeral below 40."""
    values = [_VALUES[letter] for letter in numeral]
    pairs = zip(values, [*values[1:], 0])
    return sum(-value if value < following else value for value, following in pairs)
