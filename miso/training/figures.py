"""Figures of an evaluation, computed from clips and what the judges said of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ..audio.word_errors import error_rate, plain

Item = TypeVar("Item")
Normaliser = Callable[[str], str]


@dataclass
class Spoken:
    """One clip and the results of the judges. ``system`` is its column in the table."""

    system: str
    text: str
    speaker: str
    seconds: float
    stop: str | None = None  # why sampling ended, for a model's clip
    cost: float | None = None  # seconds of computation
    first: float | None = None  # seconds until the first frame was decoded
    heard: dict[str, str] = field(default_factory=dict)  # judge -> transcript
    mos: float | None = None
    own: float | None = None  # similarity to the intended voice
    other: float | None = None  # greatest similarity to another voice


def expected_seconds(text: str) -> float:
    """Typical duration of a sentence: 98 % of 16,000 training clips are within 25 % of it."""
    return 0.07 + 0.0575 * len(text)


def figures(clips: Iterable[Spoken], normalise: Normaliser) -> dict[str, dict[str, float]]:
    """Figures by system, in order of first appearance, without figures that were not measured."""
    systems: dict[str, list[Spoken]] = {}
    for clip in clips:
        systems.setdefault(clip.system, []).append(clip)
    return {name: _figures(rows, normalise) for name, rows in systems.items()}


def _figures(clips: list[Spoken], normalise: Normaliser) -> dict[str, float]:
    out: dict[str, float] = {
        "clips": len(clips),
        "speaking_rate": sum(len(c.text) for c in clips) / max(1e-9, sum(c.seconds for c in clips)),
    }
    wanted = [normalise(c.text) for c in clips]
    for judge in sorted({j for c in clips for j in c.heard}):
        heard = [normalise(c.heard.get(judge, "")) for c in clips]
        out[f"wer_{judge}"] = error_rate([w.split() for w in wanted], [h.split() for h in heard])
        out[f"cer_{judge}"] = error_rate(wanted, heard)
        # the error rate against other sentences: what fluent English of other words would score
        others = [sentence.split() for sentence in _deranged(wanted)]
        out[f"floor_{judge}"] = error_rate(others, [h.split() for h in heard])
    sampled = [c for c in clips if c.stop is not None]
    if sampled:
        out["ended"] = _mean(c.stop == "eos" and c.seconds <= 1.5 * expected_seconds(c.text) for c in sampled)
    timed = [(c.cost, c.seconds, c.first) for c in clips if c.cost is not None]
    if timed:
        costs, seconds, firsts_or_none = zip(*timed)
        out["real_time_factor"] = sum(costs) / max(1e-9, sum(seconds))
        firsts = sorted(first for first in firsts_or_none if first is not None)
        out["first_sound"] = firsts[len(firsts) // 2] if firsts else float("nan")
    for name, values in (
        ("mos", [c.mos for c in clips if c.mos is not None]),
        ("similarity", [c.own for c in clips if c.own is not None]),
    ):
        if values:
            out[name] = _mean(values)
    similarities = [(c.own, c.other) for c in clips if c.own is not None and c.other is not None]
    if similarities:
        out["own_voice"] = _mean(own > other for own, other in similarities)
    return {k: round(v, 4) for k, v in out.items()}


def normaliser() -> tuple[str, Normaliser]:
    """Name and function: Whisper's English normaliser if it is installed, otherwise ``plain``."""
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        return "plain", plain
    return "whisper", EnglishTextNormalizer()


def table(figures: dict[str, dict[str, float]]) -> str:
    """A Markdown table with a column for each system."""
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    lines = ["| | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for name in names:
        cells = [name.replace("_", " "), *(_shown(name, row.get(name)) for row in figures.values())]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name.startswith(("wer", "cer", "floor", "ended", "own_voice")):
        return f"{100 * value:.1f} %"
    return f"{value:g}" if name == "clips" else f"{value:.2f}"


def _deranged(items: list[Item]) -> list[Item]:
    """The items in another, reproducible order, in which (if there are several) none keeps its place."""
    order = list(range(len(items)))
    random.Random(0).shuffle(order)
    target = dict(zip(order, order[1:] + order[:1]))  # one cycle through all
    return [items[target[i]] for i in range(len(items))]


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / max(1, len(values))
