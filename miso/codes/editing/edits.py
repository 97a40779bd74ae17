"""Edits as data: a list of operations that the code editor writes and that replays bit by bit wherever its input is the same.

A list (in a workflow: its JSON) of objects, each with ``op`` and exactly the whole numbers >= 0 named here. Operations apply in
order, each to what the one before gave and to all takes; frames count from 0 in the codes as they are when the operation's turn comes.

    {"op": "take", "take": i}                           take i of the input alone; only as the first operation
    {"op": "delete", "start": s, "end": e}              frames s..e-1 go
    {"op": "insert_silence", "at": f, "frames": n}      n frames of coded silence before frame f
    {"op": "copy", "start": s, "end": e, "to": f}       a copy of frames s..e-1 before frame f
    {"op": "move", "start": s, "end": e, "to": f}       frames s..e-1 to before frame f, counted before the move, not within s..e
    {"op": "repeat", "start": s, "end": e, "times": n}  n more copies of frames s..e-1 right after them
    {"op": "insert", "at": f, "start": s, "end": e}     frames s..e-1 of the second codes before frame f
    {"op": "replace_codebooks", "start": s, "end": e, "first": k, "from": f}
                                                        codebooks k.. of frames s..e-1 from the second codes, from their frame f on
    {"op": "keep_codebooks", "count": n}                the first n codebooks

Then, after all of those, at most one of each mark. Marks change no codes:

    {"op": "resample_from", "frame": f}                 ``prefix`` is frames 0..f-1 of the edited codes, for a sampler to continue
    {"op": "redecode_from", "frame": f}                 ``redecode_from`` is f, for the depth decoder to draw frames f.. again; with no
                                                        other operation but a mark, because hidden states fit no edited codes

What no longer fits (a frame the input doesn't have, a number of another kind, a field too many) is an error that names the
operation by its number, counted from 1, and its name. Nothing is moved to where it might fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...errors import MisoError
from ..codes import Codes
from . import operations as do

FIELDS = {
    "take": ("take",),
    "delete": ("start", "end"),
    "insert_silence": ("at", "frames"),
    "copy": ("start", "end", "to"),
    "move": ("start", "end", "to"),
    "repeat": ("start", "end", "times"),
    "insert": ("at", "start", "end"),
    "replace_codebooks": ("start", "end", "first", "from"),
    "keep_codebooks": ("count",),
    "resample_from": ("frame",),
    "redecode_from": ("frame",),
}
MARKS = ("resample_from", "redecode_from")


@dataclass(frozen=True, eq=False)
class Edited:
    """What a list of edits gives: the codes, and what its marks hand on."""

    codes: Codes
    prefix: Codes | None = None  # the frames kept before ``resample_from``
    redecode_from: int | None = None  # the first frame to redecode


def apply(
    codes: Codes,
    edits: Sequence[Mapping] | str,
    other: Codes | None = None,
    silence: Callable[[], Codes] | None = None,
) -> Edited:
    """Replay ``edits`` (see above), a list or its JSON. ``other`` is the second codes; ``silence()`` gives a stretch of coded
    silence (such as ``lambda: coded_silence(vocoder)``), and is called only if an operation wants it."""
    edits = _parsed(edits)
    edited, done = Edited(codes), []
    for number, operation in enumerate(edits, 1):
        name = operation.get("op") if isinstance(operation, Mapping) else None
        try:
            edited = _step(edited, _checked(operation, done), other, silence)
        except MisoError as e:
            raise MisoError(
                f"Operation {number} ({name or 'no name'}): {e.problem}", e.remedy, input="edits"
            ) from e
        done.append(name)
    return edited


def _parsed(edits: Sequence[Mapping] | str) -> Sequence[Mapping]:
    if isinstance(edits, str):
        try:
            edits = json.loads(edits or "[]")
        except (ValueError, RecursionError) as e:
            raise MisoError(
                f"The edits are no JSON ({e}).",
                "Empty the list in the editor, or restore the workflow.",
                input="edits",
            ) from e
    if not isinstance(edits, Sequence) or isinstance(edits, str):
        raise MisoError(
            "The edits are no list of operations.", 'Write them as [{"op": ...}, ...].', input="edits"
        )
    return edits


def _checked(operation: Mapping, done: list[str]) -> Mapping:
    """The operation, if it is one, has its fields and may stand after ``done``."""
    if not isinstance(operation, Mapping) or not isinstance(name := operation.get("op"), str):
        raise MisoError('It is no object with an "op".', f"The operations are {', '.join(FIELDS)}.")
    if name not in FIELDS:
        raise MisoError("There is no such operation.", f"The operations are {', '.join(FIELDS)}.")
    if given := operation.keys() ^ {"op", *FIELDS[name]}:
        raise MisoError(
            f"It has a field too few or too many: {', '.join(sorted(map(str, given)))}.",
            f"Its fields are {', '.join(FIELDS[name])}.",
        )
    for field in FIELDS[name]:
        if type(operation[field]) is not int or operation[field] < 0:
            raise MisoError(f"{field} is {operation[field]!r}.", "Use a whole number, 0 or more.")
    if name == "take" and done:
        raise MisoError("It comes after other operations.", "A take is chosen first.")
    if name in done and name in MARKS:
        raise MisoError("It is there twice.", "Keep one of them.")
    if name not in MARKS and (mark := next((d for d in done if d in MARKS), None)):
        raise MisoError(
            f"It comes after the mark {mark}, whose frame would no longer be the one that was marked.",
            "Set marks after all edits.",
        )
    if name == "redecode_from" and (edit := next((d for d in done if d not in MARKS), None)):
        raise MisoError(
            f"The codes were edited before ({edit}), and hidden states fit only the codes they made.",
            "Redecode the unedited codes first, and edit what comes out.",
        )
    return operation


def _step(
    edited: Edited, operation: Mapping, other: Codes | None, silence: Callable[[], Codes] | None
) -> Edited:
    codes, name = edited.codes, operation["op"]
    values = {field: operation[field] for field in FIELDS[name]}
    if name == "take":
        return Edited(codes.take(values["take"]))
    if name == "resample_from":
        return Edited(codes, do.prefix(codes, values["frame"]), edited.redecode_from)
    if name == "redecode_from":
        do.prefix(codes, values["frame"])  # every take must have the frame
        return Edited(codes, edited.prefix, values["frame"])
    if name == "insert_silence":
        if silence is None:
            raise MisoError("There is nothing to make silence with.", "Connect a vocoder that encodes.")
        return Edited(do.insert_silence(codes, values["at"], values["frames"], silence()))
    if name in ("insert", "replace_codebooks"):
        if other is None:
            raise MisoError("There are no second codes.", "Connect the codes it takes frames from.")
        if name == "insert":
            return Edited(do.insert(codes, other, **values))
        return Edited(
            do.replace_codebooks(
                codes, values["start"], values["end"], values["first"], other, values["from"]
            )
        )
    return Edited(getattr(do, name)(codes, **values))
