"""Written text to text as it is spoken: numbers, dates, units, signs and abbreviations become words.

What can't be spoken is left out, and named in ``Normalized.left_out``. Plain words stay as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import MisoError
from .normalization import amounts, clock, names
from .normalization.language import Language, Rule, apply
from .normalization.languages import LANGUAGES
from .normalization.leftovers import CONTROL, Leftovers, cut_digits, is_control, take_out
from .phonemes import MARKUP

LONGEST = 200_000  # characters, three hours of speech: they take a second or two
_ROUNDS = 4  # until nothing changes: what one round writes may be for another to read

# in this order: what has digits, points or capitals of its own before what would tear it apart
_RULES: tuple[Callable[[Language], list[Rule]], ...] = (
    names.addresses,
    names.rules,
    amounts.codes,
    clock.rules,
    amounts.rules,
    clock.years,
    amounts.plain,
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_QUOTES = str.maketrans({c: "'" for c in "‘’‛ʼ`´"} | {c: '"' for c in "“”„«»″"} | {"′": "'"})
_KEPT = "№™®©"  # have a compatible form that means something else


@dataclass(frozen=True)
class Normalized:
    """Text as it is spoken, what was left out of it, and of what kinds that is."""

    text: str
    left_out: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


def normalize(text: str, language: str = "en") -> Normalized:
    """``text`` in words. A second call changes nothing more; the time grows with the length only.

    ``[word](/phonemes/)`` stays as it is. Raises MisoError for an unknown language, and for a text that is
    longer than ``LONGEST``.
    """
    if language not in LANGUAGES:
        raise MisoError(
            f"Text in '{language}' can't be normalized.",
            f"Choose one of: {', '.join(LANGUAGES)}.",
            input="language",
        )
    if len(text) > LONGEST:
        raise MisoError(
            f"Text too long: it has {len(text):,} characters, and {LONGEST:,} are read at once.",
            "Split it into several texts.",
            input="text",
        )
    left = Leftovers()
    for _ in range(_ROUNDS):
        before, text = text, _round(text, LANGUAGES[language], left)
        if text == before:
            break
    return Normalized(text, left.listed, left.kinds)


def readable(text: str) -> Normalized:
    """``text`` as it is, without control characters and halves of characters, which no tokenizer takes."""
    left = Leftovers()
    if text.isprintable():
        return Normalized(text)
    kept = "".join(c for c in text if c.isspace() or not is_control(c))
    if kept != text:
        left.add("", CONTROL)
    return Normalized(kept, left.listed, left.kinds)


def refuse_silence(text: str, spoken: Normalized) -> None:
    """Raise MisoError if nothing of ``text`` can be spoken, with the reason."""
    if any(c.isalnum() for c in spoken.text):
        return
    if not text.strip():
        raise MisoError("Write what is to be said: the text is empty.", input="text")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.strip())
    shown = shown if len(shown) <= 30 else f"{shown[:30]}..."
    reason = f"{_listed(spoken.kinds)} are left out" if spoken.kinds else "it has no letters and no numbers"
    raise MisoError(f"There is nothing to be said in '{shown}': {reason}.", "Write words.", input="text")


def _listed(kinds: tuple[str, ...]) -> str:
    return " and ".join(kinds) if len(kinds) < 3 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"


def _round(text: str, language: Language, left: Leftovers) -> str:
    parts = MARKUP.split(text)  # text, then word and phonemes, text, ...
    parts[::3] = [_words(part, language, left) for part in parts[::3]]
    marked = [f"[{word}](/{sounds}/)" for word, sounds in zip(parts[1::3], parts[2::3])]
    return "".join(part for pair in zip(parts[::3], [*marked, ""]) for part in pair).strip()


def _words(text: str, language: Language, left: Leftovers) -> str:
    """One part of a text without markup, in words. Spaces at its ends stay."""
    text = cut_digits(_compatible(text), left)
    for rules in _RULES:
        text = apply(rules(language), text)
    text = re.sub(r"(?<=\w) ?(?:--+|[–—―]) ?(?=\w)|(?<=\S) +[-–—―]+ +(?=\S)", ", ", text)  # a pause
    text = re.sub(r"[‐‑‒–—―]", "-", text)
    text = re.sub(r"(?<=[^\W\d_])/(?=[^\W\d_])", f" {language.words['slash']} ", text)
    text = re.sub(r"#(?=[^\W\d_])", f"{language.words['hashtag']} ", text)
    text = take_out(text, language, left)
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r" +(?=[.,;:!?](?:\s|$))", "", text)


def _compatible(text: str) -> str:
    """``text`` with ASCII's digits, quotes and spaces, and without invisible characters."""
    if text.isascii():
        return re.sub(r"[\t\r\f\v]+", " ", text)
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: f"^{m[0].translate(_SUPERSCRIPTS)}", text)
    text = re.sub("[¼½¾⅐-⅞]", lambda m: f" {unicodedata.normalize('NFKC', m[0])}", text)
    text = re.sub(rf"[^{_KEPT}]+", lambda m: unicodedata.normalize("NFKC", m[0]), text.translate(_QUOTES))
    text = "".join(_ascii_digit(c) for c in text if unicodedata.category(c) != "Cf" and not _selector(c))
    return re.sub(r"[^\S\n]+", " ", text.translate(_QUOTES).replace("⁄", "/").replace("−", "-"))


def _ascii_digit(c: str) -> str:
    return str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c


def _selector(c: str) -> bool:
    """Whether it only chooses the look of the character before it."""
    return "\ufe00" <= c <= "\ufe0f" or c == "\u20e3"
