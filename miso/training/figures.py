"""From what was spoken and what was heard of it to a table of figures."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")
Normaliser = Callable[[str], str]


@dataclass
class Spoken:
    """One clip and what the judges say of it. ``system`` is its row in the table."""

    system: str
    text: str
    speaker: str
    seconds: float
    stop: str | None = None  # why sampling ended, of a model's clip
    cost: float | None = None  # seconds of computing
    first: float | None = None  # seconds until the first frame could be heard
    heard: dict[str, str] = field(default_factory=dict)  # transcript by judge
    mos: float | None = None
    own: float | None = None  # similarity to the voice it should have
    other: float | None = None  # the greatest to any other


def expected_seconds(text: str) -> float:
    """Length of a sentence as the voices of the training data read it: of 16,000 clips 98 % are within a quarter of this."""
    return 0.07 + 0.0575 * len(text)


def figures(clips: Iterable[Spoken], normalise: Normaliser) -> dict[str, dict[str, float]]:
    """Figures by system, in the order they first appear; a figure nobody measured is left out."""
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
        # what a recogniser would score that heard fluent English and none of these words: the other end of the scale
        out[f"floor_{judge}"] = error_rate(
            [w.split() for w in _elsewhere(wanted)], [h.split() for h in heard]
        )
    sampled = [c for c in clips if c.stop is not None]
    if sampled:
        out["ended"] = _mean(c.stop == "eos" and c.seconds <= 1.5 * expected_seconds(c.text) for c in sampled)
    timed = [c for c in clips if c.cost is not None]
    if timed:
        out["real_time_factor"] = sum(c.cost for c in timed) / max(1e-9, sum(c.seconds for c in timed))
        firsts = sorted(c.first for c in timed if c.first is not None)
        out["first_sound"] = firsts[len(firsts) // 2] if firsts else float("nan")
    for name, values in (
        ("mos", [c.mos for c in clips if c.mos is not None]),
        ("similarity", [c.own for c in clips if c.own is not None]),
    ):
        if values:
            out[name] = _mean(values)
    voiced = [c for c in clips if c.own is not None and c.other is not None]
    if voiced:
        out["own_voice"] = _mean(c.own > c.other for c in voiced)
    return {k: round(v, 4) for k, v in out.items()}


def error_rate(references: Sequence[Sequence], hypotheses: Sequence[Sequence]) -> float:
    """Edits over all pairs, by the number of words (or letters) wanted."""
    return sum(map(edits, references, hypotheses)) / max(1, sum(map(len, references)))


def edits(a: Sequence, b: Sequence) -> int:
    """Least insertions, deletions and substitutions from a to b (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def normaliser() -> tuple[str, Normaliser]:
    """Whisper's English normaliser where it is installed, else lower case without punctuation; and which it is."""
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        return "plain", plain
    return "whisper", EnglishTextNormalizer()


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower().replace("’", "'")).split())


def table(figures: dict[str, dict[str, float]]) -> str:
    """A Markdown table, a system a column."""
    names = list(dict.fromkeys(n for row in figures.values() for n in row))
    lines = ["| | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for name in names:
        lines.append(
            f"| {name.replace('_', ' ')} | "
            + " | ".join(_shown(name, row.get(name)) for row in figures.values())
            + " |"
        )
    return "\n".join(lines)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name.startswith(("wer", "cer", "floor", "ended", "own_voice")):
        return f"{100 * value:.1f} %"
    return f"{value:g}" if name == "clips" else f"{value:.2f}"


def _elsewhere(items: list[Item]) -> list[Item]:
    """The items in another order, the same every time, none (if they are more than one) in its place."""
    order = list(range(len(items)))
    random.Random(0).shuffle(order)
    shifted = order[1:] + order[:1]
    to = dict(zip(order, shifted))  # one cycle through all
    return [items[to[i]] for i in range(len(items))]


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / max(1, len(values))
