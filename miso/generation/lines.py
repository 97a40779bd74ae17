"""Lines that are each said alone: their seeds, limits and keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..text.conditioning import Segment, TextEncoder
from ..text.length import expected_seconds, most_seconds
from ..text.script import Turn
from .batch import Line
from .keys import codes_key
from .turns import TurnSettings, turn_seed


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
    config = encoder.config
    said = Segment(turn.text, turn.speaker)
    conditioning = encoder.conditioning([said] if voice is None else [voice, said])

    def frames_of(seconds: float) -> int:
        return max(1, round(seconds * config.frame_rate))

    if settings.max_seconds:
        frames = frames_of(settings.max_seconds)
    else:
        rows = sum(len(encoder.rows(segment)[0]) for segment in conditioning.segments)
        room = config.positions - rows
        frames = max(min(frames_of(most_seconds(turn.text)), room), frames_of(expected_seconds(turn.text)))
    prompt = conditioning.prompt(frames)
    key = codes_key(
        fingerprint=settings.fingerprint,
        precision=settings.precision,
        prompt=prompt,
        sampling=settings.sampling,
        depth_sampling=settings.depth_sampling,
        seeds=[seed],
        max_frames=frames,
        codebooks=settings.codebooks,
    )
    return Line(conditioning, seed, frames, len(prompt.rows)), key
