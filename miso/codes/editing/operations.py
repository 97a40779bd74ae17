"""The operations. Pure: each gives new codes of all takes; frames it doesn't touch stay bit-identical, spans and seeds follow.

Frames are counted from 0, negative ones from the end of each take; a range is start..end-1, and None is the end. A frame that a
take doesn't have is an error, never moved to one it has: what was meant can't be known. Codes are joined as they are: decoded once,
they have no break, the vocoder carrying the sound over the seam in a morph of about 400 ms (``seams`` measures how audible it is).
"""

from __future__ import annotations

from ...errors import MisoError
from ..codes import Codes, as_takes
from .pieces import MAX_FRAMES, Piece, arrange, edit_takes, place, stretch


def trim(codes: Codes, start: int = 0, frames: int | None = None) -> Codes:
    """At most ``frames`` frames of each take from frame ``start`` on (all to its end if None)."""
    if frames is not None and frames < 0:
        raise MisoError(f"{frames} frames can't be kept.", "Use 0 or more.", input="frames")

    def edit(take: Codes, i: int) -> list[Piece]:
        first = place(take, start, "start")
        return [Piece(take, first, take.frames if frames is None else min(first + frames, take.frames))]

    return edit_takes(codes, edit)


def prefix(codes: Codes, frames: int) -> Codes:
    """The first ``frames`` frames of each take, which has as many; a negative number leaves out so many at its end."""
    return edit_takes(codes, lambda take, i: [Piece(take, 0, place(take, frames, "frames"))])


def delete(codes: Codes, start: int, end: int | None = None) -> Codes:
    """Without the frames start..end-1 of each take."""

    def edit(take: Codes, i: int) -> list[Piece]:
        first, last = stretch(take, start, end)
        return [Piece(take, 0, first), Piece(take, last, take.frames)]

    return edit_takes(codes, edit)


def copy(codes: Codes, start: int, end: int, to: int) -> Codes:
    """A copy of the frames start..end-1 put before frame ``to`` of the same take."""

    def edit(take: Codes, i: int) -> list[Piece]:
        (first, last), at = stretch(take, start, end), place(take, to, "to")
        return [Piece(take, 0, at), Piece(take, first, last), Piece(take, at, take.frames)]

    return edit_takes(codes, edit)


def move(codes: Codes, start: int, end: int, to: int) -> Codes:
    """The frames start..end-1 moved to before frame ``to``, which is counted before the move and lies outside them."""

    def edit(take: Codes, i: int) -> list[Piece]:
        (first, last), at = stretch(take, start, end), place(take, to, "to")
        if first < at < last:
            raise MisoError(
                f"The frames {first} to {last - 1} can't be moved to before frame {at}, which is one of them.",
                f"Use {first} or less, or {last} or more.",
                input="to",
            )
        moved = Piece(take, first, last)
        if at <= first:
            return [Piece(take, 0, at), moved, Piece(take, at, first), Piece(take, last, take.frames)]
        return [Piece(take, 0, first), Piece(take, last, at), moved, Piece(take, at, take.frames)]

    return edit_takes(codes, edit)


def repeat(codes: Codes, start: int, end: int | None = None, times: int = 1) -> Codes:
    """``times`` more copies of the frames start..end-1, right after them."""
    if not 0 <= times <= MAX_FRAMES:
        raise MisoError(f"times is {times}.", f"Use 0 to {MAX_FRAMES}.", input="times")

    def edit(take: Codes, i: int) -> list[Piece]:
        first, last = stretch(take, start, end)
        return [Piece(take, 0, last), *[Piece(take, first, last)] * times, Piece(take, last, take.frames)]

    return edit_takes(codes, edit)


def insert(codes: Codes, other: Codes, at: int | None, start: int = 0, end: int | None = None) -> Codes:
    """The frames start..end-1 of ``other`` put before frame ``at``. An ``other`` of one take serves every take of ``codes``."""

    def edit(take: Codes, i: int) -> list[Piece]:
        source = _paired(codes, other, i)
        first, last = stretch(source, start, end)
        where = place(take, at, "at")
        return [Piece(take, 0, where), Piece(source, first, last), Piece(take, where, take.frames)]

    return edit_takes(codes, edit)


def splice(codes: Codes, other: Codes, at: int | None = None) -> Codes:
    """All of ``other`` put into ``codes`` before frame ``at``. Codes of one take serve for all takes of the other."""
    if codes.batch == 1 < other.batch:
        codes = as_takes([codes] * other.batch)
    return insert(codes, other, at)


def insert_silence(codes: Codes, at: int | None, frames: int, silence: Codes) -> Codes:
    """``frames`` frames of ``silence`` before frame ``at``: one take of coded silence, from its start, again and again if it is shorter.

    Silence is what the codec makes of none (``coded_silence``, or a pause cut out of the codes); zeros would be a sound.
    """
    if not 0 <= frames <= MAX_FRAMES:
        raise MisoError(
            f"{frames} frames of silence can't be put in.", f"Use 0 to {MAX_FRAMES}.", input="frames"
        )
    if silence.codebooks > codes.codebooks:  # the first codebooks of silence are silence too
        silence = keep_codebooks(silence, codes.codebooks)
    if silence.batch != 1 or not silence.frames:
        raise MisoError(
            f"The silence has {silence.batch} takes of {silence.frames} frames.",
            "Give one take, one frame or more.",
            input="silence",
        )
    codes.check_same_codec(silence, "The silence")
    whole, rest = divmod(frames, silence.frames)

    def edit(take: Codes, i: int) -> list[Piece]:
        where = place(take, at, "at")
        pause = arrange(silence, [*[Piece(silence, 0, silence.frames)] * whole, Piece(silence, 0, rest)])
        return [Piece(take, 0, where), Piece(pause, 0, frames, pause=True), Piece(take, where, take.frames)]

    return edit_takes(codes, edit)


def replace_codebooks(
    codes: Codes, start: int, end: int | None, first_codebook: int, other: Codes, other_start: int = 0
) -> Codes:
    """Codebooks ``first_codebook`` and above of the frames start..end-1, taken from ``other`` from its frame ``other_start`` on.

    Words are in codebook 0: from 1 on the spans stay, at 0 they are replaced with the frames.
    """
    if not 0 <= first_codebook < codes.codebooks:
        raise MisoError(
            f"The first codebook to replace is {first_codebook}; the codes have {codes.codebooks}.",
            f"Use 0 to {codes.codebooks - 1}.",
            input="first",
        )

    def edit(take: Codes, i: int) -> list[Piece]:
        source = _paired(codes, other, i)
        (first, last), begin = stretch(take, start, end), place(source, other_start, "other_start")
        if begin + last - first > source.frames:
            raise MisoError(
                f"{last - first} frames from frame {begin} on are wanted of the second codes, which have {source.frames}.",
                "Replace fewer, or begin earlier.",
                input="other_start",
            )
        if not first_codebook or first == last:
            return [
                Piece(take, 0, first),
                Piece(source, begin, begin + last - first),
                Piece(take, last, take.frames),
            ]
        tensor = take.tensor.clone()
        tensor[:, first_codebook:, first:last] = source.tensor[
            :, first_codebook:, begin : begin + last - first
        ]
        return [Piece(take.like(tensor), 0, take.frames)]

    return edit_takes(codes, edit)


def keep_codebooks(codes: Codes, count: int) -> Codes:
    """The first ``count`` codebooks: coarser sound, or codes for a vocoder that takes fewer."""
    if not 1 <= count <= codes.codebooks:
        raise MisoError(
            f"count is {count}; the codes have {codes.codebooks} codebooks.",
            f"Use 1 to {codes.codebooks}.",
            input="count",
        )
    return codes.like(codes.tensor[:, :count], codes.lengths)


def _paired(codes: Codes, other: Codes, i: int) -> Codes:
    """The take of ``other`` that goes with take ``i`` of ``codes``."""
    codes.check_same_codec(other, "The second input")
    if other.batch not in (1, codes.batch):
        raise MisoError(
            f"{codes.batch} takes and {other.batch} takes can't be paired.",
            "Put Pick Take before one of them.",
        )
    return other.take(i % other.batch)
