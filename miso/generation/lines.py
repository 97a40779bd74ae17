"""Lines that are each said alone: their seeds, limits and keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..text.conditioning import Segment, TextEncoder
from ..text.script import Turn
from .batch import Line
from .turn_settings import TurnSettings, turn_seed


def line_seeds(seed: int, turns: Iterable[Turn]) -> list[int]:
    """A seed for each line, made of the run's seed, its text and speaker, and how often the same came before.

    So a line keeps its seed when others are added, moved or removed.
    """
    times = Counter[tuple[str, int]]()
    seeds = []
    for turn in turns:
        seeds.append(turn_seed(seed, turn, times[turn.text, turn.speaker]))
        times[turn.text, turn.speaker] += 1
    return seeds


def prepare_line(
    encoder: TextEncoder, turn: Turn, seed: int, settings: TurnSettings, voice: Segment | None = None
) -> tuple[Line, str]:
    """A line in a voice, if there is one, and the key under which its codes are kept.

    Its limit is that of ``settings``, or follows the text. Raises MisoError if nothing of the text can be
    spoken, or text, voice and speech don't fit the model's positions.
    """
    said = Segment(turn.text, turn.speaker)
    conditioning = encoder.conditioning([said] if voice is None else [voice, said])
    config = encoder.config
    rows = sum(len(encoder.rows(segment)[0]) for segment in conditioning.segments)
    frames = settings.frames(turn.text, config.positions - rows, config.frame_rate)
    prompt = conditioning.prompt(frames)
    key = settings.key(prompt, seed, frames)
    return Line(conditioning, seed, frames, len(prompt.rows)), key
