"""Operations on codes. Each returns new codes with all takes; untouched frames stay identical.

Frames count from 0, negative ones from the end of each take; a range is start..end-1, and None as end is the
end of the take. A frame that a take lacks raises MisoError. Codes are joined without a transition: when they
are decoded at once, the vocoder blends the sound over about 400 ms (``miso.audio.seams`` measures how audible
that is).
"""

from __future__ import annotations

from ...errors import MisoError
from ..codes import Codes, as_takes
from .pieces import MAX_FRAMES, Piece, arrange, edit_takes, resolve, resolve_range


def trim(codes: Codes, start: int = 0, frames: int | None = None) -> Codes:
    """Keep at most ``frames`` frames of each take, starting at frame ``start`` (None: up to its end)."""
    if frames is not None and frames < 0:
        raise MisoError(f"frames is {frames}.", "Use 0 or more.", input="frames")

    def edit(take: Codes, i: int) -> list[Piece]:
        first = resolve(take, start, "start")
        return [Piece(take, first, take.frames if frames is None else min(first + frames, take.frames))]

    return edit_takes(codes, edit)


def prefix(codes: Codes, frames: int) -> Codes:
    """Keep the first ``frames`` frames of each take; a negative number removes that many at its end."""
    return edit_takes(codes, lambda take, i: [Piece(take, 0, resolve(take, frames, "frames"))])


def delete(codes: Codes, start: int, end: int | None = None) -> Codes:
    """Remove frames start..end-1 of each take."""

    def edit(take: Codes, i: int) -> list[Piece]:
        first, last = resolve_range(take, start, end)
        return [Piece(take, 0, first), Piece(take, last, take.frames)]

    return edit_takes(codes, edit)


def copy(codes: Codes, start: int, end: int, to: int) -> Codes:
    """Insert a copy of frames start..end-1 before frame ``to`` of the same take."""

    def edit(take: Codes, i: int) -> list[Piece]:
        (first, last), position = resolve_range(take, start, end), resolve(take, to, "to")
        return [Piece(take, 0, position), Piece(take, first, last), Piece(take, position, take.frames)]

    return edit_takes(codes, edit)


def move(codes: Codes, start: int, end: int, to: int) -> Codes:
    """Move frames start..end-1 to before frame ``to``, counted before the move and not one of them."""

    def edit(take: Codes, i: int) -> list[Piece]:
        (first, last), position = resolve_range(take, start, end), resolve(take, to, "to")
        if first < position < last:
            raise MisoError(
                f"Move to frame {first} or less, or {last} or more: frame {position} is among those moved.",
                input="to",
            )
        moved = Piece(take, first, last)
        if position <= first:
            between = Piece(take, position, first)
            return [Piece(take, 0, position), moved, between, Piece(take, last, take.frames)]
        between = Piece(take, last, position)
        return [Piece(take, 0, first), between, moved, Piece(take, position, take.frames)]

    return edit_takes(codes, edit)


def repeat(codes: Codes, start: int, end: int | None = None, times: int = 1) -> Codes:
    """Insert ``times`` more copies of frames start..end-1 right after them."""
    if not 0 <= times <= MAX_FRAMES:
        raise MisoError(f"times is {times}.", f"Use 0 to {MAX_FRAMES}.", input="times")

    def edit(take: Codes, i: int) -> list[Piece]:
        first, last = resolve_range(take, start, end)
        return [Piece(take, 0, last), *[Piece(take, first, last)] * times, Piece(take, last, take.frames)]

    return edit_takes(codes, edit)


def insert(codes: Codes, other: Codes, at: int | None, start: int = 0, end: int | None = None) -> Codes:
    """Insert frames start..end-1 of ``other`` before frame ``at``; one take of ``other`` serves all takes."""

    def edit(take: Codes, i: int) -> list[Piece]:
        source = _paired(codes, other, i)
        first, last = resolve_range(source, start, end)
        position = resolve(take, at, "at")
        return [Piece(take, 0, position), Piece(source, first, last), Piece(take, position, take.frames)]

    return edit_takes(codes, edit)


def splice(codes: Codes, other: Codes, at: int | None = None) -> Codes:
    """Insert all of ``other`` before frame ``at`` (None: append). One take serves all takes of the other."""
    if codes.batch == 1 < other.batch:
        codes = as_takes([codes] * other.batch)
    return insert(codes, other, at)


def insert_silence(codes: Codes, at: int | None, frames: int, silence: Codes) -> Codes:
    """Insert ``frames`` frames of ``silence``, repeated as necessary, before frame ``at``.

    ``silence`` is one take of coded silence (``coded_silence``, or a pause from other codes). Zeros would be
    a sound.
    """
    if not 0 <= frames <= MAX_FRAMES:
        raise MisoError(f"frames is {frames}.", f"Use 0 to {MAX_FRAMES}.", input="frames")
    if silence.codebooks > codes.codebooks:  # the first codebooks of silence are silence too
        silence = keep_codebooks(silence, codes.codebooks)
    if silence.batch != 1 or not silence.frames:
        raise MisoError(
            "Connect one take of at least one frame (Pick Take picks one): the silence has "
            f"{silence.batch} takes of {silence.frames} frames.",
            input="silence",
        )
    codes.check_same_codec(silence, "the silence", "silence")
    repeats, remainder = divmod(frames, silence.frames)
    pieces = [*[Piece(silence, 0, silence.frames)] * repeats, Piece(silence, 0, remainder)]

    def edit(take: Codes, i: int) -> list[Piece]:
        position = resolve(take, at, "at")
        pause = Piece(arrange(silence, pieces), 0, frames, pause=True)
        return [Piece(take, 0, position), pause, Piece(take, position, take.frames)]

    return edit_takes(codes, edit)


def replace_codebooks(
    codes: Codes, start: int, end: int | None, first_codebook: int, other: Codes, other_start: int = 0
) -> Codes:
    """Replace codebooks ``first_codebook`` and above of frames start..end-1 by those of ``other``.

    Frames of ``other`` are taken from ``other_start`` on. Codebook 0 carries the words: with
    ``first_codebook`` 0 the frames are replaced together with their spans, otherwise the spans stay.
    """
    if not 0 <= first_codebook < codes.codebooks:
        raise MisoError(
            f"Use 0 to {codes.codebooks - 1}: the codes have {codes.codebooks} codebooks, and "
            f"{first_codebook} is none of them.",
            input="first",
        )

    def edit(take: Codes, i: int) -> list[Piece]:
        source = _paired(codes, other, i)
        first, last = resolve_range(take, start, end)
        source_first = resolve(source, other_start, "other_start")
        source_last = source_first + last - first
        if source_last > source.frames:
            raise MisoError(
                f"Replace at most {source.frames - source_first} frames, or start earlier: the second codes "
                f"have {source.frames} frames, and {last - first} frames are needed from frame "
                f"{source_first}.",
                input="other_start",
            )
        if not first_codebook or first == last:
            replacement = Piece(source, source_first, source_last)
            return [Piece(take, 0, first), replacement, Piece(take, last, take.frames)]
        tensor = take.tensor.clone()
        tensor[:, first_codebook:, first:last] = source.tensor[:, first_codebook:, source_first:source_last]
        return [Piece(take.like(tensor), 0, take.frames)]

    return edit_takes(codes, edit)


def keep_codebooks(codes: Codes, count: int) -> Codes:
    """Keep the first ``count`` codebooks, for coarser sound or for a vocoder that takes fewer."""
    if not 1 <= count <= codes.codebooks:
        raise MisoError(
            f"Use 1 to {codes.codebooks}: the codes have {codes.codebooks} codebooks, count is {count}.",
            input="count",
        )
    return codes.like(codes.tensor[:, :count], codes.lengths)


def _paired(codes: Codes, other: Codes, i: int) -> Codes:
    """The take of ``other`` for take ``i`` of ``codes``. Raises MisoError if they can't be paired."""
    codes.check_same_codec(other, "the second input", "other")
    if other.batch not in (1, codes.batch):
        raise MisoError(
            f"Put Pick Take before the second codes: {other.batch} takes don't go with {codes.batch} takes.",
            input="other",
        )
    return other.take(i % other.batch)
