"""Operations on codes. Pure: each gives new codes, frames it doesn't touch stay bit-identical, provenance and segment spans follow."""

from __future__ import annotations

from dataclasses import replace

import torch

from .codes import Codes, Span, Take, as_takes, join_spans
from .errors import MisoError


def trim(codes: Codes, start: int = 0, frames: int | None = None) -> Codes:
    """At most ``frames`` frames of each take from frame ``start`` on (all to its end if None); a negative start counts from its end."""
    if frames is not None and frames < 0:
        raise MisoError(f"{frames} frames can't be kept.", "Use 0 or more.", input="frames")
    parts = []
    for i, length in enumerate(codes.lengths.tolist()):
        first = _frame(length, start, "start")
        last = length if frames is None else min(first + frames, length)
        spans = tuple(Span(max(s.start, first) - first, min(s.end, last) - first, s.text, s.speaker)
                      for s in codes.takes[i].spans if s.start < last and s.end > first)
        cut = first > 0 or last < length
        take = replace(codes.takes[i], spans=spans, stop=None if cut else codes.takes[i].stop)
        parts.append(codes.like(codes.tensor[i:i + 1, :, first:last], takes=[take]))
    return as_takes(parts)


def splice(codes: Codes, other: Codes, at: int | None = None) -> Codes:
    """``other`` put into ``codes`` before frame ``at``, or after its end. Codes with one take serve for all takes of the other."""
    codes.check_same_codec(other, "The second input")
    if 1 not in (codes.batch, other.batch) and codes.batch != other.batch:
        raise MisoError(f"{codes.batch} takes and {other.batch} takes can't be paired.", "Put Pick Take before one of them.")
    parts = []
    for i in range(max(codes.batch, other.batch)):
        a, b = codes.take(i % codes.batch), other.take(i % other.batch)
        where = _frame(a.frames, a.frames if at is None else at, "at")
        before, after = trim(a, 0, where), trim(a, where)
        tensor = torch.cat((before.tensor, b.tensor, after.tensor), 2)
        spans = join_spans(before.takes[0].spans, _shifted(b.takes[0].spans, where), _shifted(after.takes[0].spans, where + b.frames))
        parts.append(a.like(tensor, takes=[Take(a.takes[0].seed, None, spans)]))
    return as_takes(parts)


def keep_codebooks(codes: Codes, count: int) -> Codes:
    """The first ``count`` codebooks: coarser sound, or codes for a vocoder that takes fewer."""
    if not 1 <= count <= codes.codebooks:
        raise MisoError(f"count is {count}; the codes have {codes.codebooks} codebooks.", f"Use 1 to {codes.codebooks}.", input="count")
    return codes.like(codes.tensor[:, :count], codes.lengths)


def _frame(length: int, frame: int, input: str) -> int:
    place = frame + length if frame < 0 else frame
    if not 0 <= place <= length:
        raise MisoError(f"{input} is frame {frame}, but the take has {length} frames.", f"Use {-length} to {length}.", input=input)
    return place


def _shifted(spans: tuple[Span, ...], by: int) -> tuple[Span, ...]:
    return tuple(replace(s, start=s.start + by, end=s.end + by) for s in spans)
