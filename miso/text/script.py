"""Scripts of dialogues: lines with names become turns of numbered speakers.

A script has a line for each turn::

    # a comment
    Anna: Good morning. [pause 0.5] Did you sleep well?
    Ben: Like a stone.
    [pause 1]
    And you?
    [2] Me too.

- ``Name: ...`` or ``[Name] ...``: a name has one to three words that begin with a capital, or with a letter
  of a script without capitals. Words that often stand before a colon (``Note: ...``) are no names there;
  ``[Note]`` is. A name alone in its line counts for the lines that follow.
- ``[2] ...``: the number of a speaker.
- A line without a name is said by the speaker of the line before it, the first one by speaker 0.
- ``[pause 0.5]``: silence of so many seconds, in a line of its own or within one, where it ends a turn.
  ``[pause:500ms]`` and ``[pause:1s]`` mean the same as in other programs.
- Lines that begin with ``#`` are comments, unless a digit follows (``#1 of the charts``).

A time of day (``10:30``) or an address (``https://...``) doesn't begin with a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import MisoError

MAX_SPEAKER = 255
MAX_PAUSE = 60.0  # seconds
DEFAULT_PAUSE = 0.5  # of [pause] without a number
_BRACKETS = re.compile(r"\[([^\[\]]+)\]\s*[:：]?\s*")
# what follows the colon of 10:30, https:// or C:\ doesn't follow that of a name
_COLON = re.compile(r"([^:：\[\]]{1,60}?)\s*(?::(?![\d/\\:])|：)\s*")
_PAUSE = re.compile(r"\[\s*pause\b([^\[\]]*)\]", re.IGNORECASE)
_LENGTH = re.compile(r"[:\s]*(\d+(?:[.,]\d+)?|[.,]\d+)\s*(s|ms)?\s*", re.IGNORECASE)
# that begin many lines of text: "Chapter 2: ..." isn't said by somebody called Chapter 2
_NO_NAMES = frozenset(
    "attention caution chapter example hint important note notes part reminder remember section step "
    "summary tip update warning".split()
)


@dataclass(frozen=True)
class Turn:
    """What a speaker says before another does, or before a pause of ``pause`` seconds."""

    text: str
    speaker: int = 0
    name: str = ""  # of the speaker, "" without one
    pause: float = 0.0  # seconds of silence after it
    line: int = 0  # of the script, from 1; 0 if there is no script


def in_script(error: MisoError, line: int) -> MisoError:
    """The error of a text, as one of a line of the script that it is from."""
    input = "script" if error.input == "text" else error.input
    return MisoError(f"Line {line}: {error.problem}", error.remedy, input=input)


def parse_script(text: str, speakers: Mapping[str, int] | None = None) -> tuple[Turn, ...]:
    """The turns of a script.

    ``speakers`` gives numbers to names (those of voices), whatever their case; such names needn't have
    capitals. Other names take the lowest numbers that neither ``speakers`` nor the script use, in the order
    in which they first appear. Raises MisoError with the number of the line for a pause without a turn before
    it, a bad length or speaker, or a name that says nothing, and if nobody says anything.
    """
    known = {name.casefold(): number for name, number in (speakers or {}).items()}
    turns: list[Turn] = []
    name, number = "", 0  # of the current speaker; the number counts without a name
    silent = 0  # line of a name after which nothing was said yet
    for row, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or re.match(r"#(?!\d)", line):
            continue
        who, rest = _split_speaker(line, known, row)
        if who is not None:
            if silent and rest:
                raise _says_nothing(silent)
            name, number = who if isinstance(who, str) else "", 0 if isinstance(who, str) else who
            silent = row
        for part, pause in _split_pauses(rest, row):
            if part:
                turns.append(Turn(part, number, name, pause, row))
                silent = 0
            elif not turns or silent:
                raise MisoError(
                    f"Line {row}: a pause comes after what somebody says.",
                    "Put it at the end of a line, or in a line of its own after one.",
                    input="script",
                )
            else:
                turns[-1] = replace(turns[-1], pause=turns[-1].pause + pause)
    if silent:
        raise _says_nothing(silent)
    if not turns:
        raise MisoError("Write a script: there is nothing to say.", "A line is: Anna: Hello.", input="script")
    return _numbered(turns, known)


def speaker_names(turns: tuple[Turn, ...]) -> dict[str, int]:
    """The names of a script and their numbers, in the order in which they first appear."""
    return {turn.name: turn.speaker for turn in turns if turn.name}


def _split_speaker(line: str, known: Mapping[str, int], row: int) -> tuple[str | int | None, str]:
    """Who says a line (a name, a number, or None if it doesn't say), and the rest of the line."""
    if match := _BRACKETS.match(line):
        inside, rest = " ".join(match[1].split()), line[match.end() :]
        if inside.isdecimal():
            if int(inside) > MAX_SPEAKER:
                raise MisoError(
                    f"Line {row}: there is no speaker {inside}.", f"Use 0 to {MAX_SPEAKER}.", input="script"
                )
            return int(inside), rest
        if not _PAUSE.match(line) and (inside.casefold() in known or _is_name(inside)):
            return inside, rest
    elif match := _COLON.match(line):
        inside, rest = " ".join(match[1].split()), line[match.end() :]
        first = inside.split()[0].casefold() if inside else ""
        if inside.casefold() in known or (_is_name(inside) and first not in _NO_NAMES):
            return inside, rest
    return None, line


def _is_name(text: str) -> bool:
    words = text.split()
    if not 1 <= len(words) <= 3 or not _capital(words[0]):
        return False
    return all(_capital(word) or word.isdecimal() for word in words)


def _capital(word: str) -> bool:
    """Whether it begins with a capital, or a letter that has none, and looks like a word."""
    return word[0].isalpha() and not word[0].islower() and all(c.isalnum() or c in ".'’-_" for c in word)


def _split_pauses(text: str, row: int) -> list[tuple[str, float]]:
    """Parts of a line with the seconds of silence after each; a pause at its beginning follows an empty
    part."""
    parts, begin = [], 0
    for match in _PAUSE.finditer(text):
        parts.append((text[begin : match.start()].strip(), _seconds(match[1], row)))
        begin = match.end()
    if rest := text[begin:].strip():
        parts.append((rest, 0.0))
    return parts


def _seconds(length: str, row: int) -> float:
    if not length.strip(" :"):
        return DEFAULT_PAUSE
    if match := _LENGTH.fullmatch(length):
        seconds = float(match[1].replace(",", ".")) / (1000 if (match[2] or "").lower() == "ms" else 1)
        if seconds <= MAX_PAUSE:
            return seconds
    raise MisoError(
        f"Line {row}: '[pause{length}]' has no length from 0 to {MAX_PAUSE:g} seconds.",
        "Write [pause 0.5] or [pause 500ms].",
        input="script",
    )


def _says_nothing(row: int) -> MisoError:
    return MisoError(
        f"Line {row}: a name with nothing to say.", "Write the text after it, or remove it.", input="script"
    )


def _numbered(turns: list[Turn], known: Mapping[str, int]) -> tuple[Turn, ...]:
    """The turns with the numbers of their names. Names that differ in case alone are one speaker."""
    numbers = dict(known)
    taken = {turn.speaker for turn in turns if not turn.name} | set(known.values())
    numbered = []
    for turn in turns:
        key = turn.name.casefold()
        if turn.name and key not in numbers:
            numbers[key] = next(n for n in range(MAX_SPEAKER + 1 + len(taken)) if n not in taken)
            taken.add(numbers[key])
        numbered.append(replace(turn, speaker=numbers[key]) if turn.name else turn)
    if (most := max(turn.speaker for turn in numbered)) > MAX_SPEAKER:
        raise MisoError(
            f"The script has too many speakers: {most} is above {MAX_SPEAKER}.",
            "Use fewer names.",
            input="script",
        )
    return tuple(numbered)
