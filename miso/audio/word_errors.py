"""How far what was heard is from what should have been said: the word error rate."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def plain(text: str) -> str:
    """Lower case, without punctuation."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    spaced = "".join(c if c.isalnum() or c == "'" or _is_mark(c) else " " for c in text)
    return " ".join(filter(None, (word.strip("'") for word in spaced.split())))


def words(text: str) -> list[str]:
    """The words of plain text; of Chinese, Japanese and Korean the characters, whatever the spaces."""
    spaced = "".join(f" {c} " if unicodedata.east_asian_width(c) in "WF" else c for c in plain(text))
    return spaced.split()


def error_rate(references: Sequence[Sequence], hypotheses: Sequence[Sequence]) -> float:
    """Total edits over all pairs, relative to the total length of the references."""
    return sum(map(edits, references, hypotheses)) / max(1, sum(map(len, references)))


def edits(a: Sequence, b: Sequence) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions from a to b."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")  # accents and vowel signs are parts of letters
