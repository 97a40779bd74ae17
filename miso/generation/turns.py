"""Turns said one after another: each continues the exact codes of those before it.

Dialogues and long texts use this loop, in the graph and on the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from ..codes.codes import Codes
from ..codes.hidden import Hidden
from ..errors import MisoError
from ..model.networks import Backbone
from ..text.conditioning import Prompt, Segment, TextEncoder
from ..text.length import expected_seconds
from ..text.script import Turn, in_script
from .choices import Choice, TurnKey
from .depth import DepthSampler
from .loop import Frame, FrameLoop
from .said import Said, join
from .turn_settings import TurnSettings, turn_seed


class KeptTurns(Protocol):
    """Where codes of turns are kept between runs, such as a ``Store``."""

    def get(self, key: str) -> tuple[Codes, Hidden | None] | None: ...

    def put(self, key: str, codes: Codes) -> object: ...


@dataclass(frozen=True, eq=False)
class TurnFrame:
    """A frame of a turn, or of the pause after it; ``frame.index`` counts through all turns."""

    turn: int
    frame: Frame
    kept: bool


class TurnLoop:
    """An iterator of ``TurnFrame``. ``said`` and ``codes`` are at any time what has been said so far.

    ``networks(rows)`` returns the backbone and the depth sampler, with room for so many rows; it is called
    only for turns that must be sampled. ``history`` are segments with codes: voice prompts, which stay, and
    what was said before. The oldest of it gives way when the model's positions are full; ``memory`` limits it
    to so many segments (None: to what the checkpoint's family was taught).

    Every turn has a seed of its own, made of the run's seed, its text and speaker, and how often the same was
    said before in ``turns``. Its codes are looked up in ``store`` by everything that decides them, history
    included: after a change, the turns before it are found there. ``latest`` keeps the last codes of every
    turn, whatever was said before it; with ``only_changed`` a turn found there stays as it was, although its
    history has changed. It also keeps all codes under their digest, where locked turns are found, whatever
    the seed is.

    ``choices`` are what a person has chosen about turns: attempts, each with a seed of its own, and turns
    that stay as they are.

    ``silence()`` returns coded silence for the pauses, which are left out without it.

    ``left_out`` says what of the text can't be spoken. Raises MisoError if nothing of a turn can be, with its
    line in the script, if the voices and a turn leave no room for speech, or a segment of the history is bad.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        turns: Sequence[Turn],
        networks: Callable[[int], tuple[Backbone, DepthSampler]],
        settings: TurnSettings,
        *,
        history: Sequence[Segment] = (),
        memory: int | None = None,
        store: KeptTurns | None = None,
        latest: KeptTurns | None = None,
        only_changed: bool = False,
        choices: Mapping[TurnKey, Choice] | None = None,
        silence: Callable[[], Codes] | None = None,
    ):
        self.encoder, self.turns, self.settings = encoder, tuple(turns), settings
        self._networks, self._silence = networks, silence
        self._memory = encoder.config.conventions.memory if memory is None else memory
        self._store, self._latest, self._only_changed = store, latest, only_changed
        self._choices = choices or {}
        self._voices = [segment for segment in history if segment.voice]
        self._before = tuple(segment for segment in history if not segment.voice)
        self._recent: list[tuple[Segment, int]] = []  # with their rows, the oldest first
        for segment in self._before:
            self._remember(segment)
        self.left_out: list[str] = []
        self._line_rows = [self._check(turn) for turn in self.turns]
        self._voice_rows = sum(self._count_rows(voice) for voice in self._voices)
        self.said: list[Said] = []
        self.sampled = 0  # frames that were not kept from an earlier run
        self._loop: FrameLoop | None = None  # of the turn being sampled
        self._within = self._dropped = 0
        self.expected = [self._frames(expected_seconds(turn.text)) for turn in self.turns]
        self._events = self._run()

    def __iter__(self) -> Iterator[TurnFrame]:
        return self

    def __next__(self) -> TurnFrame:
        return next(self._events)

    @property
    def begun(self) -> bool:
        """Whether anything has been said."""
        return bool(self.said) or self._loop is not None

    @property
    def pauses(self) -> bool:
        """Whether there is silence for pauses."""
        return self._silence is not None

    def close(self) -> None:
        """End the run, and return its recorded frame to the backbone before the loop is garbage-collected."""
        self._events.close()
        if self._loop is not None:
            self._loop.close()

    @property
    def progress(self) -> tuple[int, int]:
        """How many frames are done, and of how many, as far as the texts tell before they are said."""
        turn = len(self.said)
        current = min(self._within, self.expected[turn]) if self._loop is not None else 0
        return sum(self.expected[:turn]) + current, sum(self.expected)

    def _run(self) -> Generator[TurnFrame, None, None]:
        index, times = 0, Counter[tuple[str, int]]()
        for i, turn in enumerate(self.turns):
            nth = times[turn.text, turn.speaker]
            times[turn.text, turn.speaker] += 1
            choice = self._choices.get((turn.text, turn.speaker, nth), Choice())
            seed = turn_seed(self.settings.seed, turn, nth, choice.attempt)
            prompt, frames = self._prompt(i)
            key, own = self.settings.key(prompt, seed, frames), self._own_key(turn, seed, frames)
            codes = self._find(key, own, choice.locked)
            kept = codes is not None
            if codes is None:
                backbone, depth = self._networks(len(prompt.rows) + frames)
                self._loop = FrameLoop(
                    backbone,
                    depth,
                    prompt,
                    seeds=[seed],
                    max_frames=frames,
                    sampling=self.settings.sampling,
                    path=self.settings.path,
                )
                self._within = 0
                for frame in self._loop:
                    self._within += 1
                    self.sampled += 1
                    yield TurnFrame(i, replace(frame, index=index + frame.index), False)
                codes = self._loop.codes
                self._loop.close()
                self._keep(self._store, key, codes)
            for latest in (own, codes.digest()):
                self._keep(self._latest, latest, codes)
            self._loop = None
            self.said.append(Said(turn, codes, kept, self._dropped, nth, choice))
            if codes.frames:
                self._remember(Segment(turn.text, turn.speaker, codes))
            if kept:
                yield from self._events_of(codes, i, index)
            index += codes.frames
            if pause := self.said[-1].pause(self._silence):
                yield from self._events_of(pause, i, index)
                index += pause.frames

    def _events_of(self, codes: Codes, turn: int, index: int) -> Iterator[TurnFrame]:
        for t, frame in enumerate(codes.tensor.unbind(2)):
            yield TurnFrame(turn, Frame(index + t, frame, torch.ones(1, dtype=torch.bool)), True)

    def _check(self, turn: Turn) -> int:
        """The rows of a turn's text."""
        try:
            rows = self._count_rows(Segment(turn.text, turn.speaker))
            self.left_out += (x for x in self.encoder.read(turn.text).left_out if x not in self.left_out)
        except MisoError as e:
            if not turn.line:
                raise
            raise in_script(e, turn.line) from e
        return rows

    def _prompt(self, i: int) -> tuple[Prompt, int]:
        """The prompt of a turn, with the history that there is room for, and its limit in frames."""
        turn = self.turns[i]
        line = Segment(turn.text, turn.speaker)
        room = self.encoder.config.positions - self._voice_rows - self._line_rows[i]
        frames = self.settings.frames(turn.text, room, self.encoder.config.frame_rate)
        while self._recent and sum(rows for _, rows in self._recent) + frames > room:
            self._recent.pop(0)
            self._dropped += 1
        history = [segment for segment, _ in self._recent]
        return self.encoder.conditioning([*self._voices, *history, line]).prompt(frames), frames

    def _own_key(self, turn: Turn, seed: int, frames: int) -> str:
        """The key of a turn whatever was said before it."""
        line = Segment(turn.text, turn.speaker)
        return self.settings.key(
            self.encoder.conditioning([*self._voices, line]).prompt(frames), seed, frames
        )

    def _find(self, key: str, own: str, locked: str) -> Codes | None:
        places = [(self._latest, locked)] if locked else []
        places += [(self._latest, own)] if self._only_changed or locked else []
        for store, wanted in (*places, (self._store, key)):
            if store is not None and (found := store.get(wanted)) and self._fits(found[0]):
                return found[0]
        return None

    def _fits(self, codes: Codes) -> bool:
        """Whether these can be said among the others: a lock may come from a run of another model."""
        settings = self.encoder.config.codec, self.settings.codebooks
        return codes.batch == 1 and (codes.codec, codes.codebooks) == settings

    @staticmethod
    def _keep(store: KeptTurns | None, key: str, codes: Codes) -> None:
        if store is None:
            return
        found = store.get(key)
        if found is None or found[0].digest() != codes.digest():
            store.put(key, codes)

    def _remember(self, segment: Segment) -> None:
        self._recent.append((segment, self._count_rows(segment)))
        if self._memory is not None:
            del self._recent[: max(0, len(self._recent) - self._memory)]

    def _count_rows(self, segment: Segment) -> int:
        return len(self.encoder.rows(segment)[0])

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * self.encoder.config.frame_rate))

    @property
    def codes(self) -> Codes:
        """Everything said so far as one take: a span for each turn, and the pauses between them.

        Raises MisoError before the first frame.
        """
        said = list(self.said)
        if self._loop is not None:
            said.append(Said(self.turns[len(said)], self._loop.codes, False, self._dropped))
        if not said:
            raise MisoError("Nothing has been said yet.")
        return join(said, self.settings.seed, self._silence, self._loop is None)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Voices, history and all turns said so far, to be continued another time."""
        said = (Segment(s.turn.text, s.turn.speaker, s.codes) for s in self.said if s.codes.frames)
        return (*self._voices, *self._before, *said)
