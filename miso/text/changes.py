"""What changes between two texts, word by word."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from .words import word_places


class Change(NamedTuple):
    """Words ``old`` of the one text become words ``new`` of the other. One of the two may be empty."""

    old: range
    new: range


def changes(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    """The stretches in which two lists of words differ, in order. Between any two of them words are kept."""
    matcher = SequenceMatcher(None, old, new, False)
    return [Change(range(i, j), range(k, m)) for kind, i, j, k, m in matcher.get_opcodes() if kind != "equal"]


def divide(text: str, before: Sequence[str]) -> list[str]:
    """A text cut into as many parts as it had ``before`` it was edited, each with what became of its words.

    Words that replace or follow those of a part belong to it. A part of which nothing is left is "".
    """
    if len(before) == 1:
        return [text.strip()]
    owned = [(text[a:b].casefold(), i) for i, text in enumerate(before) for a, b in word_places(text)]
    places = word_places(text)
    owners = [0] * len(places)
    for kind, i, j, k, m in SequenceMatcher(
        None, [word for word, _ in owned], [text[a:b].casefold() for a, b in places], False
    ).get_opcodes():
        for n in range(k, m):
            nearest = i + n - k if kind == "equal" else min(i + n - k, j - 1) if j > i else i - 1
            owners[n] = owned[max(nearest, 0)][1] if owned else 0
    cuts = [
        next((places[n][0] for n, own in enumerate(owners) if own >= i), len(text))
        for i in range(len(before))
    ]
    cuts = [0, *cuts[1:], len(text)]
    return [text[a:b].strip() for a, b in zip(cuts, cuts[1:])]
