"""Which rows of a segment's text belong to which of its words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from .conditioning import Segment, TextEncoder
from .phonemes import MARKUP
from .pronunciations import without_phonemes
from .tokenizer import Tokenizer

_TOKEN = re.compile(r"(?:\[[^\[\]\n]{1,100}\]\(/[^()\n/]{1,200}/\)|\S)+")  # a mark with phonemes is one


@dataclass(frozen=True)
class SpelledWord:
    """A word as it is written and as it is said, and the text rows that spell it, first to last."""

    text: str
    said: str  # in lower case without marks around it; with phonemes where they were given
    first: int
    last: int


def spelled_words(encoder: TextEncoder, segment: Segment) -> list[SpelledWord]:
    """The words of a segment with their rows in ``encoder.rows(segment)``, in order.

    Words are those that were written: "$5" is one word, though the model reads two. Written words that are
    read as one stay together. What is not said, or has no letters, is no word. Marks and spaces around a word
    are none of its rows.
    """
    said, prompt, start = encoder.spelling(segment)
    tokenizer = encoder.tokenizer
    groups = [m.span() for m in re.finditer(rf"[^\s{tokenizer.space}]+", prompt[start:])]
    groups = [(start + a, start + b) for a, b in groups]
    spoken = _tokens(said)
    owners = _owners(spoken, [prompt[a:b] for a, b in groups], encoder)
    places: list[tuple[int, int] | None] = [None] * len(spoken)  # characters of the prompt
    for owner, (a, b) in zip(owners, groups):
        known = places[owner]
        places[owner] = (a, b) if known is None else (known[0], b)
    rows = tokenizer.places(prompt)
    words = []
    for text, members in _written(_tokens(segment.text), spoken):
        inside = [place for i in members if (place := places[i])]
        if not inside:
            continue
        a, b = _without_marks(tokenizer, prompt, inside[0][0], inside[-1][1])
        spelling = [i for i, (x, y) in enumerate(rows) if x < b and y > a]
        if spelling:
            heard = " ".join(_bare(spoken[i]) for i in members)
            words.append(SpelledWord(text, heard, spelling[0], spelling[-1]))
    return words


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words between spaces lie in a text. What has no letter is no word."""
    return [m.span() for m in _TOKEN.finditer(text) if any(c.isalnum() for c in m[0])]


def _tokens(text: str) -> list[str]:
    return [text[a:b] for a, b in word_places(text)]


def _bare(token: str) -> str:
    """A word in lower case without marks around it; capitals of its phonemes are other phonemes."""
    if marked := MARKUP.search(token):
        return f"[{marked[1].casefold()}](/{marked[2]}/)"
    return re.sub(r"^\W+|\W+$", "", token.casefold())


def _owners(spoken: Sequence[str], groups: Sequence[str], encoder: TextEncoder) -> list[int]:
    """The index of the spoken word that each group of symbols belongs to."""
    if len(groups) == len(spoken) and not any(MARKUP.search(word) for word in spoken):
        return list(range(len(groups)))
    tokenizer = encoder.tokenizer
    split = re.compile(rf"[^\s{tokenizer.space}]+")
    alone = [split.findall(tokenizer.spell(word)) for word in spoken]
    counted = [i for i, parts in enumerate(alone) for _ in parts]
    if len(counted) == len(groups):
        return counted
    # compare letter by letter: a package reads some words together, or otherwise than alone
    letters = [(c, i) for i, parts in enumerate(alone) for c in "".join(parts)]
    where = [(c, g) for g, group in enumerate(groups) for c in group]
    matcher = SequenceMatcher(None, "".join(c for c, _ in letters), "".join(c for c, _ in where), False)
    votes = [[0] * len(spoken) for _ in groups]
    for a, b, size in matcher.get_matching_blocks():
        for k in range(size):
            votes[where[b + k][1]][letters[a + k][1]] += 1
    owners, last = [], 0
    for vote in votes:
        best = max(range(last, len(spoken)), key=lambda i: vote[i])
        last = best if vote[best] else last
        owners.append(last)
    return owners


def _written(written: Sequence[str], spoken: Sequence[str]) -> list[tuple[str, range]]:
    """Written words, and the spoken ones that each became."""
    written = [without_phonemes(word) for word in written]
    a, b = ([without_phonemes(word).casefold() for word in words] for words in (written, spoken))
    found = []
    for kind, i, j, k, m in SequenceMatcher(None, a, b, False).get_opcodes():
        if kind == "equal" or j - i == m - k:
            found += [(written[i + n], range(k + n, k + n + 1)) for n in range(j - i)]
        elif kind == "replace":
            found.append((" ".join(written[i:j]), range(k, m)))
        elif kind == "insert" and found:
            found[-1] = (found[-1][0], range(found[-1][1].start, m))
    return found


def _without_marks(tokenizer: Tokenizer, prompt: str, a: int, b: int) -> tuple[int, int]:
    """The characters a..b-1 of the prompt without marks at their ends."""

    def is_mark(c: str) -> bool:
        return c in tokenizer.marks or not (c.isalnum() or unicodedata.category(c) in ("Co", "Mn"))

    while b - a > 1 and is_mark(prompt[b - 1]):
        b -= 1
    while b - a > 1 and is_mark(prompt[a]):
        a += 1
    return a, b
