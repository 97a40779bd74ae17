"""Seconds a word: speech far too fast or too slow for its text has left something out, or doesn't end."""

from __future__ import annotations

from .codes import Codes
from .takes import Take

FASTEST, SLOWEST = 0.12, 1.2  # seconds a word, beyond which nobody speaks
FEWEST = 4  # words: fewer may well be shouted, or drawn out


def pace_problem(codes: Codes) -> str:
    """What is wrong with the first take whose last text can't have been said in its time; "" if all can."""
    for number, take in enumerate(codes.takes, 1):
        if problem := pace_problem_of(take, codes.frame_rate):
            return f"Take {number}: {problem}" if codes.batch > 1 else problem
    return ""


def pace_problem_of(take: Take, frame_rate: float) -> str:
    """The same of one take."""
    if not take.spans or take.stop not in ("eos", "limit"):
        return ""
    span = take.spans[-1]
    words, seconds = len(span.text.split()), (span.end - span.start) / frame_rate
    if words < FEWEST or FASTEST <= seconds / words <= SLOWEST:
        return ""
    if seconds / words > SLOWEST:
        why = "it may go on after the text. Try another seed"
    elif take.stop == "limit":
        why = "the time limit cut it. Raise max_seconds"
    else:
        why = "the text may be too long for this checkpoint. Use Long Text"
    return f"{seconds:.1f} s for {words} words: {why}"
