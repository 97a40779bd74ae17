"""Tables of lines: CSV files whose rows are each said alone.

The first row names the columns, in any order and case:

- ``text``: what to say. Required.
- ``speaker``: number of the speaker.
- ``seed``: of this line alone.
- ``voice``: name or file of a voice.
- ``name``: of the line's files, without suffix.

Cells may be empty; other columns are left alone.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from ..errors import MisoError
from ..files import can_be_file, read_text
from .script import MAX_SPEAKER

COLUMNS = ("text", "speaker", "seed", "voice", "name")
_MOST_SEED = 2**63 - 1
_SLUG = 40  # characters
_SHOWN = 60  # characters of a cell, in a message


@dataclass(frozen=True)
class TableLine:
    """A row of a table. ``row`` counts from 1, as spreadsheets do: the first line is in row 2."""

    row: int
    name: str
    text: str = ""
    speaker: int | None = None
    seed: int | None = None
    voice: str = ""
    problem: str = ""  # why it can't be said


@dataclass(frozen=True)
class Table:
    lines: tuple[TableLine, ...]
    ignored: tuple[str, ...] = field(default=())  # columns that have no meaning here


def read_table(path: str | Path) -> Table:
    """Read a table in UTF-8: tabs separate the cells of a ``.tsv`` file, commas or semicolons those of
    others.

    A row that is wrong is a line with a ``problem``. Raises MisoError if the file can't be read, or has no
    column ``text``.
    """
    path = Path(path)
    text = read_text(path, "Save it as CSV in UTF-8.")
    first = text.partition("\n")[0]
    try:
        rows = list(csv.reader(StringIO(text, ""), delimiter=_delimiter(path, first), strict=True))
    except csv.Error as e:
        raise MisoError(f"{path} can't be read: {e}.", "Save it as CSV in UTF-8.", input="table") from e
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise MisoError(f"{path.name} has two columns '{twice[0]}'.", "Remove one.", input="table")
    if "text" not in header:
        raise MisoError(
            f"{path.name} has no column 'text'.",
            f"Its first row names the columns: {', '.join(COLUMNS)}. Only text is required.",
            input="table",
        )
    lines: list[TableLine] = []
    names: dict[str, int] = {}
    for number, cells in enumerate(rows[1:], 2):
        if any(cell.strip() for cell in cells):
            line = _line(number, header, cells)
            if (other := names.setdefault(line.name.casefold(), number)) != number:
                same = f"row {other} has the name '{line.name}' too"
                line = TableLine(number, line.name, line.text, problem=line.problem or same)
            lines.append(line)
    ignored = tuple(name for name in header if name and name not in COLUMNS)
    return Table(tuple(lines), ignored)


def line_name(number: int, text: str) -> str:
    """A name for the files of a line without one: its number and the beginning of its text."""
    words = re.sub(r"[\W_]+", "-", text.casefold()).strip("-")
    if len(words) > _SLUG:
        words = words[: _SLUG + 1].rpartition("-")[0] or words[:_SLUG]
    return f"{number:04}-{words}".rstrip("-")


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    return ";" if ";" in header and "," not in header else ","  # as spreadsheets write it in many countries


def _line(row: int, header: Sequence[str], cells: Sequence[str]) -> TableLine:
    values = {name: cell.strip() for name, cell in zip(header, cells)}
    text, own = values["text"] if "text" in values else "", values.get("name", "")
    name = own or line_name(row - 1, text)
    try:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise MisoError("more cells than columns: put text that has commas between quotes")
        if not text:
            raise MisoError("there is no text")
        if not can_be_file(name):
            raise MisoError(f"'{name[:_SHOWN]}' can't be the name of a file")
        speaker = _number("speaker", values, MAX_SPEAKER)
        seed = _number("seed", values, _MOST_SEED)
    except MisoError as e:
        return TableLine(row, line_name(row - 1, text), text, problem=e.problem)
    return TableLine(row, name, text, speaker, seed, values.get("voice", ""))


def _number(column: str, values: dict[str, str], most: int) -> int | None:
    if not (cell := values.get(column, "")):
        return None
    if not cell.isdecimal() or int(cell) > most:
        raise MisoError(f"{column} is '{cell[:_SHOWN]}', not a whole number from 0 to {most}")
    return int(cell)
