"""What every edit is made of: pieces of takes, put in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import torch

from ...errors import MisoError
from ..codes import Codes, Span, Take, as_takes

MAX_FRAMES = (
    100_000  # 2 h 13 min: an edit that asks for more is a slip, and is caught before it takes the memory
)


class Piece(NamedTuple):
    """Frames start..end-1 of ``take``, codes that hold one take. A ``pause`` says nothing, and within a segment it parts no words."""

    take: Codes
    start: int
    end: int
    pause: bool = False


def edit_takes(codes: Codes, edit: Callable[[Codes, int], Iterable[Piece]]) -> Codes:
    """Every take made into the pieces that ``edit(take, its number)`` gives."""
    return as_takes(
        [arrange(take, edit(take, i)) for i, take in enumerate(codes.take(i) for i in range(codes.batch))]
    )


def arrange(take: Codes, pieces: Iterable[Piece]) -> Codes:
    """The pieces in a row, as codes of one take with the seed of ``take``. What is put together anew has no stop reason.

    Where two pieces meet that say one thing, their spans become one again, so that cutting and putting back gives the original.
    Only a segment that begins anew right after its own end, as a repeated line does, is said twice.
    """
    pieces = _without_seams(pieces)
    if pieces == [(take, 0, take.frames, False)]:
        return take
    if (frames := sum(p.end - p.start for p in pieces)) > MAX_FRAMES:
        raise MisoError(
            f"That would be {frames} frames; {MAX_FRAMES} are the most.", "Make it in several clips."
        )
    tensor = torch.cat([take.tensor[:, :, :0], *(p.take.tensor[:, :, p.start : p.end] for p in pieces)], 2)
    return take.like(tensor, takes=[Take(take.takes[0].seed, None, _spans(pieces))])


def place(take: Codes, frame: int | None, input: str) -> int:
    """A frame of a take, counted from its start; a negative one counts from its end, and None is its end."""
    if frame is None:
        return take.frames
    place = frame + take.frames if frame < 0 else frame
    if not 0 <= place <= take.frames:
        raise MisoError(
            f"{input} is {frame}, but the take has {take.frames} frames.",
            f"Use {-take.frames} to {take.frames}.",
            input=input,
        )
    return place


def stretch(take: Codes, start: int, end: int | None) -> tuple[int, int]:
    """A range of frames, counted from the start."""
    first, last = place(take, start, "start"), place(take, end, "end")
    if first > last:
        raise MisoError(
            f"The range ends at frame {last}, before its start, frame {first}.",
            "Let it end after its start.",
            input="end",
        )
    return first, last


def _without_seams(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces that hold frames, those that go on where the one before ended made one with it."""
    out: list[Piece] = []
    for piece in pieces:
        if out and out[-1].take is piece.take and out[-1].end == piece.start:
            out[-1] = out[-1]._replace(end=piece.end)
        elif piece.end > piece.start:
            out.append(piece)
    return out


def _spans(pieces: list[Piece]) -> tuple[Span, ...]:
    """The spans of pieces in a row."""
    out: list[Span] = []
    at = 0
    left: tuple[Piece, Span] | None = None  # the piece before and its last span, where that reaches the seam
    for i, piece in enumerate(pieces):
        if piece.pause:
            if left and i + 1 < len(pieces) and _at(pieces[i + 1]) is left[1]:
                out[-1] = replace(out[-1], end=at + piece.end - piece.start)
            else:
                left = None
        else:
            shift, touching = at - piece.start, None
            for span in piece.take.takes[0].spans:
                start, end = max(span.start, piece.start), min(span.end, piece.end)
                if start >= end:
                    continue
                if start == piece.start and left and _one(left, (piece, span)):
                    out[-1] = replace(out[-1], end=end + shift)
                else:
                    out.append(replace(span, start=start + shift, end=end + shift))
                touching = (piece, span) if end == piece.end else None
            left = touching
        at += piece.end - piece.start
    return tuple(out)


def _at(piece: Piece) -> Span | None:
    """The span that a piece begins in."""
    return next((s for s in piece.take.takes[0].spans if s.start <= piece.start < s.end), None)


def _one(left: tuple[Piece, Span], right: tuple[Piece, Span]) -> bool:
    """Whether the spans on both sides of a seam say one thing."""
    (before, a), (after, b) = left, right
    again = before.take is after.take and a is b and before.end == a.end and after.start == b.start
    return (a.text, a.speaker) == (b.text, b.speaker) and not again
