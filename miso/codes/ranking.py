"""Takes in the order in which they are worth hearing.

On 40 everyday sentences of nano with 8 takes each, heard by Moonshine tiny, the mean take had a word error
rate of 2.6 %, the likeliest one 1.4 %, the one that Whisper tiny.en ranked first 1.1 %, and the best there
is 0.6 %: the last three are 5, 4 and 2 of 358 words (``python tests/measure_takes.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .codes import Codes
from .pace import pace_problem_of


class Ranked(NamedTuple):
    take: int  # from 0
    why: str  # a clause for people
    sound: bool  # it ended by itself, in a time in which its text can be said


def rank(codes: Codes, errors: Sequence[float] | None = None) -> list[Ranked]:
    """All takes, the best first.

    First come takes that ended by themselves in a time in which their text can be said, then those of odd
    length, then those that were cut. Within each, those of which a recogniser understood most come first
    (``errors``: the word error rate of every take), then the likeliest (mean log probability of codebook 0).
    """

    def order(take: int) -> tuple[bool, bool, float, float]:
        about = codes.takes[take]
        likelihood = -math.inf if about.log_probability is None else about.log_probability
        error = 0.0 if errors is None else errors[take]
        return about.stop != "eos", bool(pace_problem_of(about, codes.frame_rate)), error, -likelihood

    return [
        Ranked(take, _why(codes, take, errors), not any(order(take)[:2]))
        for take in sorted(range(codes.batch), key=order)
    ]


def _why(codes: Codes, number: int, errors: Sequence[float] | None) -> str:
    take = codes.takes[number]
    if take.stop != "eos":
        parts = ["didn't end by itself"]
    else:
        odd = pace_problem_of(take, codes.frame_rate)
        parts = [f"{codes.seconds[number]:.2f} s{', of odd length' if odd else ''}"]
    if errors is not None:
        parts.append(f"{100 * errors[number]:.0f} % of the words wrong")
    if take.log_probability is not None:
        parts.append(f"likelihood {take.log_probability:.2f}")
    return ", ".join(parts)
