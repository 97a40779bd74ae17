"""The common base of all edits: pieces of takes, concatenated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import torch

from ...errors import MisoError
from ..codes import Codes, as_takes
from ..takes import Span, Take, Word, words_within

# 2 h 13 min at 12.5 frames per second: larger results are mistakes, refused before they take memory
MAX_FRAMES = 100_000


class Piece(NamedTuple):
    """Frames start..end-1 of ``take``, codes of one take.

    A ``pause`` has no spans of its own; within a span it becomes part of it.
    """

    take: Codes
    start: int
    end: int
    pause: bool = False

    @property
    def frames(self) -> int:
        return self.end - self.start


def edit_takes(codes: Codes, edit: Callable[[Codes, int], Iterable[Piece]]) -> Codes:
    """Replace every take by the pieces that ``edit(take, index)`` returns."""
    takes = [codes.take(i) for i in range(codes.batch)]
    return as_takes([arrange(take, edit(take, i)) for i, take in enumerate(takes)])


def arrange(take: Codes, pieces: Iterable[Piece]) -> Codes:
    """Concatenate pieces to codes of one take, with the seed of ``take`` and no stop reason.

    Where two pieces of the same text and speaker meet, their spans are merged, so that putting frames back
    restores the original, though not that its text is exact. The exception are two whole spans: a line said
    twice stays two spans. Words that a cut goes through are dropped.
    """
    pieces = _merge_adjacent(pieces)
    if pieces == [(take, 0, take.frames, False)]:
        return take
    if (frames := sum(piece.frames for piece in pieces)) > MAX_FRAMES:
        raise MisoError(
            f"Make several clips: the result would have {frames} frames, and at most {MAX_FRAMES} fit in one."
        )
    tensors = [piece.take.tensor[:, :, piece.start : piece.end] for piece in pieces]
    tensor = torch.cat([take.tensor[:, :, :0], *tensors], 2)
    edited = Take(take.takes[0].seed, None, _spans(pieces), words=_words(pieces))
    return take.like(tensor, takes=[edited])


def resolve(take: Codes, frame: int | None, input: str) -> int:
    """A frame's position from the start of a take; negative frames count from its end, None is its end.

    Raises MisoError if the take lacks it; ``input`` names the argument.
    """
    if frame is None:
        return take.frames
    position = frame + take.frames if frame < 0 else frame
    if not 0 <= position <= take.frames:
        remedy = f"Use at least {-take.frames}" if frame < 0 else f"Use at most {take.frames}"
        raise MisoError(f"{remedy}: {input} is {frame}, but the take has {take.frames} frames.", input=input)
    return position


def resolve_range(take: Codes, start: int, end: int | None) -> tuple[int, int]:
    """Both ends of a range of frames as positions from the start. Raises MisoError if the take lacks them."""
    first, last = resolve(take, start, "start"), resolve(take, end, "end")
    if first > last:
        raise MisoError(
            f"Let the range end after its start: it starts at frame {first} and ends at frame {last}.",
            input="end",
        )
    return first, last


def _merge_adjacent(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces without empty ones, those that continue the previous one merged with it."""
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].take is piece.take and merged[-1].end == piece.start:
            merged[-1] = merged[-1]._replace(end=piece.end)
        elif piece.end > piece.start:
            merged.append(piece)
    return merged


class _Said(NamedTuple):
    """The last span of the result, where it came from, and how much of that is in it."""

    piece: Piece
    span: Span
    start: int
    end: int  # frames start..end-1 of the take, without a gap; start = end if there was one

    @property
    def whole(self) -> bool:
        return (self.start, self.end) == (self.span.start, self.span.end)


def _spans(pieces: list[Piece]) -> tuple[Span, ...]:
    """The spans of concatenated pieces. Only those that are whole stay exact."""
    spans: list[Span] = []
    position = 0  # of the piece in the result
    previous: _Said | None = None  # the last span, if it ends where the last piece does
    anything_known = any(piece.take.takes[0].spans for piece in pieces)
    for i, piece in enumerate(pieces):
        if piece.pause:
            if previous and i + 1 < len(pieces) and _first_span(pieces[i + 1]) is previous.span:
                spans[-1] = replace(spans[-1], end=position + piece.frames)
            else:
                previous = None
        else:
            shift, last = position - piece.start, None
            for span in piece.take.takes[0].spans:
                start, end = max(span.start, piece.start), min(span.end, piece.end)
                if start >= end:
                    continue
                said = _Said(piece, span, start, end)
                if start == piece.start and previous and _continues(previous, said):
                    said = _joined(previous, said)
                    begin = spans.pop().start
                else:
                    begin = start + shift
                exact = span.exact and said.whole
                spans.append(replace(span, start=begin, end=end + shift, exact=exact))
                last = said if end == piece.end else None
            previous = last
            if anything_known and not piece.take.takes[0].spans:  # it says something, and nobody knows what
                spans.append(Span(position, position + piece.frames, exact=False))
        position += piece.frames
    return tuple(spans)


def _words(pieces: list[Piece]) -> tuple[Word, ...]:
    """The words that are whole in a piece, where they are in the result."""
    words: list[Word] = []
    position = 0
    for piece in pieces:
        known = () if piece.pause else piece.take.takes[0].words
        words += words_within(known, piece.start, piece.end, position - piece.start)
        position += piece.frames
    return tuple(words)


def _first_span(piece: Piece) -> Span | None:
    """The span that contains the first frame of a piece."""
    spans = piece.take.takes[0].spans
    return next((span for span in spans if span.start <= piece.start < span.end), None)


def _continues(left: _Said, right: _Said) -> bool:
    """Whether the span on the right of a join continues the one on the left."""
    same_text = (left.span.text, left.span.speaker) == (right.span.text, right.span.speaker)
    same_span = left.piece.take is right.piece.take and left.span is right.span
    repeated = same_span and left.piece.end == left.span.end and right.piece.start == right.span.start
    two_lines = left.whole and right.whole and left.span.exact and right.span.exact
    return same_text and not repeated and not two_lines


def _joined(left: _Said, right: _Said) -> _Said:
    """The span on the right of a join, with what it continues."""
    same_span = left.piece.take is right.piece.take and left.span is right.span
    if same_span and left.start < left.end == right.start:
        return right._replace(start=left.start)
    return right._replace(start=right.end)
