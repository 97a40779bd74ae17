"""What a person has chosen about single turns: another attempt, or that a turn stays as it is.

Choices are data, written by the panel of turns and saved with the workflow: a JSON list of objects, one for
each turn that something was chosen about::

    {"text": "Like a stone.", "speaker": 1, "nth": 0, "attempt": 2, "locked": "3f0a..."}

- ``text``, ``speaker`` and ``nth`` (how often the same was said before, from 0) say which turn is meant. Its
  number doesn't: it changes when a line is inserted.
- ``attempt``: how often it was said anew; 0 if left out. Each attempt has a seed of its own.
- ``locked``: ``Codes.digest()`` of the codes that stay; not locked if left out.

Choices about turns that aren't in the text have no effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MisoError
from ..files import parse_json

MAX_ATTEMPT = 1_000_000
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"text", "speaker", "nth", "attempt", "locked"}

TurnKey = tuple[str, int, int]  # text, speaker, how often the same was said before


@dataclass(frozen=True)
class Choice:
    """What was chosen about one turn."""

    attempt: int = 0  # how often it was said anew
    locked: str = ""  # digest of the codes that stay; "" if it isn't locked


def read_choices(text: str) -> dict[TurnKey, Choice]:
    """The choices of a JSON text (see the module); "" has none.

    Raises MisoError, at the input ``choices``, with the number of the entry that isn't one.
    """
    try:
        listed = parse_json(text or "[]", "The list of choices")
        if not isinstance(listed, list):
            raise MisoError("The choices are not a list.")
        return dict(_read(entry, number) for number, entry in enumerate(listed, 1))
    except MisoError as e:
        raise MisoError(e.problem, "Press Clear in the list of turns.", input="choices") from e


def _read(entry: Any, number: int) -> tuple[TurnKey, Choice]:
    if not isinstance(entry, Mapping) or not entry.keys() <= _FIELDS:
        raise MisoError(f"Choice {number} is not an object with {', '.join(sorted(_FIELDS))}.")
    text, locked = entry.get("text"), entry.get("locked", "")
    if not isinstance(text, str):
        raise MisoError(f"Choice {number}: text is missing.")
    numbers = {"attempt": 0, **entry}
    for name in ("speaker", "nth", "attempt"):
        value = numbers.get(name)
        if type(value) is not int or not 0 <= value <= MAX_ATTEMPT:
            raise MisoError(f"Choice {number}: {name} is not a number from 0 to {MAX_ATTEMPT}.")
    if not isinstance(locked, str) or (locked and not _DIGEST.fullmatch(locked)):
        raise MisoError(f"Choice {number}: locked is not a digest of codes.")
    return (text, numbers["speaker"], numbers["nth"]), Choice(numbers["attempt"], locked)
