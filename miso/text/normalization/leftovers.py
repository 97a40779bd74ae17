"""What can't be spoken: emoji, other scripts, signs. It is left out, and said."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from .language import Language
from .numerals import LONGEST

PUNCTUATION = ".,?!;:'\"()[]-"
EMOJI, SIGN, CONTROL, DIGITS, FACE = "emoji", "signs", "control characters", "digits", "emoticons"
_SCRIPTS = {
    "CJK": "Chinese characters",
    "HIRAGANA": "Japanese letters",
    "KATAKANA": "Japanese letters",
    "HANGUL": "Korean letters",
}
_OLD_EMOJI = frozenset("☀☁☂☃☎☕☝☠☹☺♀♂♥♨⚠⚡⚽⚾⛄⛅⛔✂✅✈✉✊✋✌✍✏✔✖✨❄❌❎❓❗❣❤➕➖➡⬅⬆⬇⭐")
_MOST, _LONGEST = 20, 20  # items that are listed, and characters of each


class Leftovers:
    """Collects what is left out, each once, with its kind."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, text: str, kind: str) -> None:
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        self._found.setdefault(kind if kind == CONTROL else f"{shown} ({kind})", kind)

    @property
    def listed(self) -> tuple[str, ...]:
        found = list(self._found)
        more = len(found) - _MOST
        return tuple(found) if more <= 0 else (*found[:_MOST], f"and {more} more")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._found.values()))


def cut_digits(text: str, left: Leftovers) -> str:
    """``text`` with at most the first ``LONGEST`` digits of a run."""

    def cut(m: re.Match[str]) -> str:
        left.add(f"{len(m[2])} of {len(m[0])}", DIGITS)
        return m[1]

    return re.sub(rf"(\d{{{LONGEST}}})(\d+)", cut, text)


def take_out(text: str, language: Language, left: Leftovers) -> str:
    """``text`` with words for signs that have a reading, without all else that can't be spoken."""
    for face in _FACE.findall(text):
        left.add(face, FACE)
    text = _FACE.sub(" ", text)
    text = _GREEK.sub(lambda m: language.greek.get(m[0], m[0]), text)
    text = re.sub(r"(?<=\w)_(?=\w)", " ", text)
    parts: list[str] = []
    for kind, run in _runs(text):
        if not kind:
            parts.append(run)
        elif kind == SIGN and run[0] in language.signs:
            parts.append(f" {language.signs[run[0]]} ")
        else:
            left.add(run.strip(), kind)
            parts.append(" ")
    return "".join(parts)


_FACE = re.compile(r"(?<![\w:;=.])[:;=]['-]?[)(DPpO|/\\](?!\w)")
_GREEK = re.compile(r"(?<![\u0370-\u03ff])[\u0370-\u03ff](?![\u0370-\u03ff])")


def _runs(text: str):
    """Runs of characters of one kind; a space between two characters that are left out belongs to them."""
    start, current = 0, ""
    for i, c in enumerate(text):
        kind = "" if c in _PLAIN else _kind(c)
        if kind == current and not (kind == SIGN and text[i] != text[i - 1]):
            continue
        if i > start:
            yield current, text[start:i]
        start, current = i, kind
    if start < len(text):
        yield current, text[start:]


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \n" + PUNCTUATION)


def is_control(c: str) -> bool:
    """Control characters, lone surrogates, private and unassigned ones."""
    return unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn")


@lru_cache(maxsize=4096)
def _kind(c: str) -> str:
    """Why a character is left out; "" if it isn't."""
    category = unicodedata.category(c)
    name = unicodedata.name(c, "")
    if category[0] == "L" or (category[0] == "N" and name):
        script = name.split()[0] if name else ""
        if script == "LATIN":
            return ""
        return _SCRIPTS.get(script, f"{script.title()} letters")
    if category[0] == "M":
        return "" if name.startswith("COMBINING") else f"{name.split()[0].title()} letters" if name else SIGN
    if category[0] == "C":
        return CONTROL
    if c >= "\U0001f000" or c in _OLD_EMOJI:
        return EMOJI
    return SIGN
