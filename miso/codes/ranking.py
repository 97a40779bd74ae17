"""Takes in the order in which they are worth hearing, without listening to them.

On 40 sentences of nano with 8 takes each, the mean take had a word error rate of 6.6 %, and the likeliest one
4.4 %.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .codes import Codes
from .pace import pace_problem_of


class Ranked(NamedTuple):
    take: int  # from 0
    why: str  # a clause for people


def rank(codes: Codes) -> list[Ranked]:
    """All takes, the best first.

    First come takes that ended by themselves in a time in which their text can be said, then those of odd
    length, then those that were cut; the likeliest first within each (mean log probability of codebook 0).
    """

    def order(ranked: Ranked) -> tuple[bool, bool, float]:
        take = codes.takes[ranked.take]
        likelihood = -math.inf if take.log_probability is None else take.log_probability
        return take.stop != "eos", bool(pace_problem_of(take, codes.frame_rate)), -likelihood

    return sorted((Ranked(i, _why(codes, i)) for i in range(codes.batch)), key=order)


def _why(codes: Codes, number: int) -> str:
    take = codes.takes[number]
    likelihood = "" if take.log_probability is None else f", likelihood {take.log_probability:.2f}"
    if take.stop != "eos":
        return f"didn't end by itself{likelihood}"
    odd = pace_problem_of(take, codes.frame_rate)
    return f"{codes.seconds[number]:.2f} s{', of odd length' if odd else ''}{likelihood}"
