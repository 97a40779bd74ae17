"""Edits as data: a list of operations, written by the code editor, with reproducible results.

A list (in a workflow: its JSON) of objects, each with ``op`` and exactly the fields named here, whole numbers
>= 0. Operations apply to all takes, one after the other; frames count from 0 in the codes that the operation
receives.

- ``{"op": "take", "take": i}``: only take i of the input; must be the first operation
- ``{"op": "delete", "start": s, "end": e}``: remove frames s..e-1
- ``{"op": "insert_silence", "at": f, "frames": n}``: insert n frames of coded silence before frame f
- ``{"op": "copy", "start": s, "end": e, "to": f}``: insert a copy of frames s..e-1 before frame f
- ``{"op": "move", "start": s, "end": e, "to": f}``: move frames s..e-1 to before frame f, counted before the
  move and not within s..e
- ``{"op": "repeat", "start": s, "end": e, "times": n}``: insert n more copies of frames s..e-1 after them
- ``{"op": "insert", "at": f, "start": s, "end": e}``: insert frames s..e-1 of the second codes before frame f
- ``{"op": "replace_codebooks", "start": s, "end": e, "first": k, "from": f}``: take codebooks k.. of frames
  s..e-1 from the second codes, starting at their frame f
- ``{"op": "keep_codebooks", "count": n}``: keep the first n codebooks

After these, at most one of each mark. Marks change no codes:

- ``{"op": "resample_from", "frame": f}``: ``prefix`` is frames 0..f-1 of the edited codes, for a sampler to
  continue
- ``{"op": "redecode_from", "frame": f}``: ``redecode_from`` is f, for the depth decoder to draw frames f..
  again; allowed only without edits, because hidden states do not fit edited codes

An operation that does not fit (a frame that the input lacks, a wrong type, a missing or unknown field) raises
a MisoError with its number, counted from 1, and its name. It is never adjusted to fit.

Frame numbers mean something in the speech they were chosen in, and nothing in any other. So a list may begin
with one entry that is no operation and isn't counted:

- ``{"op": "made_for", "codes": d}``, or with ``"other": d`` too: the edits were made on the codes (and the
  second codes) whose ``made_on`` is d

On any other codes nothing is applied, and ``Edited.misfit`` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...errors import MisoError
from ...files import parse_json
from ..codes import Codes, tensor_digest
from . import operations

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
NAMES = {  # as the editor's buttons call them
    "take": "Take",
    "delete": "Delete",
    "insert_silence": "Silence",
    "copy": "Copy",
    "move": "Move",
    "repeat": "Repeat",
    "insert": "Insert",
    "replace_codebooks": "Replace codebooks",
    "keep_codebooks": "Keep codebooks",
    "resample_from": "Resample from here",
    "redecode_from": "Redecode depth here",
}
MADE_FOR = "made_for"
MAX_EDITS = 1000
MISFIT = "These edits were made for another take; nothing was applied."


@dataclass(frozen=True, eq=False)
class Edited:
    """The result of a list of edits: the codes, and what its marks ask for."""

    codes: Codes
    prefix: Codes | None = None  # the frames before ``resample_from``
    redecode_from: int | None = None  # the first frame to redecode
    misfit: bool = False  # whether the edits were made for other codes, and nothing was applied


def made_on(codes: Codes) -> str:
    """16 hexadecimal digits that tell these codes from any other, whatever is known about them."""
    return tensor_digest(codes.tensor, str(codes.lengths.tolist()))[:16]


def apply(
    codes: Codes,
    edits: Sequence[Mapping] | str,
    other: Codes | None = None,
    silence: Callable[[], Codes] | None = None,
) -> Edited:
    """Apply ``edits`` (see the module), a list or its JSON. Raises MisoError if one of them does not fit.

    ``other`` is the second codes. ``silence()`` returns coded silence, such as ``lambda:
    coded_silence(vocoder)``; it is called only if an operation needs it.
    """
    edited = Edited(codes)
    applied: list[str] = []
    stamp, listed = _split(_parse(edits))
    if not _fits(stamp, codes, other):
        return Edited(codes, misfit=True)
    if len(listed) > MAX_EDITS:
        raise MisoError(
            f"There are {len(listed):,} edits, and at most {MAX_EDITS:,} are applied.",
            "Save the codes in between, or press Clear edits in the editor.",
            input="edits",
        )
    for number, operation in enumerate(listed, 1):
        name = operation.get("op") if isinstance(operation, Mapping) else None
        try:
            _check(operation, applied)
            edited = _step(edited, operation, other, silence)
        except MisoError as e:
            raise MisoError(f"Edit {number} ({_name(name)}): {e.problem}", e.remedy, input="edits") from e
        applied.append(operation["op"])
    return edited


def _parse(edits: Sequence[Mapping] | str) -> Sequence[Mapping]:
    if isinstance(edits, str):
        try:
            edits = parse_json(edits or "[]", "The list of edits")
        except MisoError as e:
            raise MisoError(f"Press Clear edits in the editor. {e.problem}", input="edits") from e
    if not isinstance(edits, Sequence) or isinstance(edits, str):
        raise MisoError(
            "The edits are not a list of operations.", 'Write them as [{"op": ...}, ...].', input="edits"
        )
    return edits


def _split(edits: Sequence[Mapping]) -> tuple[Mapping | None, Sequence[Mapping]]:
    """The entry that says what the edits were made for, if there is one, and the operations."""
    first = edits[0] if edits else None
    if not isinstance(first, Mapping) or first.get("op") != MADE_FOR:
        return None, edits
    digests = {name: value for name, value in first.items() if name != "op"}
    known = "codes" in digests and digests.keys() <= {"codes", "other"}
    if not known or not all(isinstance(digest, str) for digest in digests.values()):
        raise MisoError(
            "Press Clear edits in the editor: the note of what the edits were made for is damaged.",
            input="edits",
        )
    return digests, edits[1:]


def _fits(stamp: Mapping | None, codes: Codes, other: Codes | None) -> bool:
    """Whether edits with this stamp were made for these codes, as far as is known."""
    if stamp is None:
        return True
    if stamp["codes"] != made_on(codes):
        return False
    return other is None or "other" not in stamp or stamp["other"] == made_on(other)


def _name(operation: object) -> str:
    """What people call an operation."""
    return NAMES.get(operation, operation) if isinstance(operation, str) and operation else "no name"


def _check(operation: Mapping, applied: list[str]) -> None:
    """Raise MisoError unless it is an operation with exactly its fields, allowed after those ``applied``."""
    if not isinstance(operation, Mapping) or not isinstance(name := operation.get("op"), str):
        raise MisoError('It is not an object with an "op".', f"The operations are {', '.join(FIELDS)}.")
    if name not in FIELDS:
        raise MisoError("There is no such operation.", f"The operations are {', '.join(FIELDS)}.")
    if wrong := operation.keys() ^ {"op", *FIELDS[name]}:
        raise MisoError(
            f"These fields are missing or unknown: {', '.join(sorted(map(str, wrong)))}.",
            f"Its fields are {', '.join(FIELDS[name])}.",
        )
    for field in FIELDS[name]:
        if type(operation[field]) is not int or operation[field] < 0:
            raise MisoError(f"{field} is {operation[field]!r}.", "Use a whole number, 0 or more.")
    if name == "take" and applied:
        raise MisoError("Choose the take first: it comes after other edits.")
    if name in applied and name in MARKS:
        raise MisoError("Keep one of them: this mark is set twice.")
    mark = next((earlier for earlier in applied if earlier in MARKS), None)
    if mark and name not in MARKS:
        raise MisoError(
            f"Set the mark {NAMES[mark]} after all edits: what this changes moves the frame that was marked."
        )
    edit = next((earlier for earlier in applied if earlier not in MARKS), None)
    if edit and name == "redecode_from":
        raise MisoError(
            "Redecode the unedited codes first, then edit the result: hidden states don't fit edited codes "
            f"({NAMES[edit]})."
        )


def _step(
    edited: Edited, operation: Mapping, other: Codes | None, silence: Callable[[], Codes] | None
) -> Edited:
    """Apply one operation that ``_check`` has accepted."""
    codes, name = edited.codes, operation["op"]
    values = {field: operation[field] for field in FIELDS[name]}
    if name == "take":
        return Edited(codes.take(values["take"]))
    if name == "resample_from":
        return Edited(codes, operations.prefix(codes, values["frame"]), edited.redecode_from)
    if name == "redecode_from":
        operations.prefix(codes, values["frame"])  # raises unless every take has the frame
        return Edited(codes, edited.prefix, values["frame"])
    if name == "insert_silence":
        if silence is None:
            raise MisoError("Connect a codec, such as mimi, to vocoder: nothing here makes silence.")
        return Edited(operations.insert_silence(codes, values["at"], values["frames"], silence()))
    if name in ("insert", "replace_codebooks"):
        if other is None:
            raise MisoError("Connect the second codes to other: this edit takes frames from them.")
        if name == "insert":
            return Edited(operations.insert(codes, other, **values))
        start, end, first, other_start = (values[field] for field in FIELDS[name])
        return Edited(operations.replace_codebooks(codes, start, end, first, other, other_start))
    return Edited(getattr(operations, name)(codes, **values))
