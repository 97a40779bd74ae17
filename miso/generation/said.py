"""What was said in turns, and how it is joined to one take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..codes.codes import Codes
from ..codes.editing.operations import insert_silence, keep_codebooks
from ..codes.editing.pieces import Piece, arrange
from ..codes.takes import Take
from ..text.script import Turn
from .choices import Choice


@dataclass(frozen=True, eq=False)
class Said:
    """A turn and its codes, one take of it alone."""

    turn: Turn
    codes: Codes
    kept: bool  # from an earlier run
    dropped: int  # segments of the history that have had to go since the run began
    nth: int = 0  # how often the same speaker has said the same before
    choice: Choice = Choice()

    @property
    def cut(self) -> bool:
        """Whether the time limit ended it."""
        return self.codes.takes[0].stop == "limit"

    @property
    def unlocked(self) -> bool:
        """Whether it was to stay as it was, and those codes are not kept here any more."""
        return bool(self.choice.locked) and self.codes.digest() != self.choice.locked

    def pause(self, silence: Callable[[], Codes] | None) -> Codes | None:
        """The silence after the turn; None if there is none, or nothing to make it of."""
        frames = round(self.turn.pause * self.codes.frame_rate)
        if not frames or silence is None:
            return None
        coded = keep_codebooks(silence(), self.codes.codebooks)
        return insert_silence(coded.like(coded.tensor[:, :, :0]), 0, frames, coded)


def join(said: Sequence[Said], seed: int, silence: Callable[[], Codes] | None, ended: bool = True) -> Codes:
    """Turns as one take of this seed: a span for each, and the pauses between them.

    Unless all have ``ended``, no pause follows the last.
    """
    pieces = []
    for part in said:
        pieces.append(Piece(part.codes, 0, part.codes.frames))
        pause = part.pause(silence) if ended or part is not said[-1] else None
        if pause is not None:
            pieces.append(Piece(pause, 0, pause.frames, pause=True))
    joined = arrange(said[0].codes, pieces)
    take = Take(seed, _stop(said), joined.takes[0].spans, _mean(said), joined.takes[0].words)
    return joined.like(joined.tensor, takes=[take])


def _stop(said: Sequence[Said]) -> str:
    stops = {part.codes.takes[0].stop for part in said}
    return next((stop for stop in ("interrupted", "limit", "runaway") if stop in stops), "eos")


def _mean(said: Sequence[Said]) -> float | None:
    """The mean log probability of all frames that have one."""
    known = [(part.codes.takes[0].log_probability, part.codes.frames) for part in said]
    weighted = [(value * frames, frames) for value, frames in known if value is not None and frames]
    if not weighted:
        return None
    return sum(value for value, _ in weighted) / sum(frames for _, frames in weighted)
