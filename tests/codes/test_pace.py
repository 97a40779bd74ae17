"""Speech too fast or too slow for its text is found, and what may be said is let be."""

import pytest
import torch

from miso.codes.codes import Codes
from miso.codes.pace import pace_problem
from miso.codes.takes import Span, Take


def spoken(seconds: float, words: int, stop: str | None = "eos", given: float = 0) -> Codes:
    """Codes that say ``words`` words in that time, after a prefix of ``given`` seconds and fifty words."""
    first, last = round(given * 12.5), round((given + seconds) * 12.5)
    spans = (Span(0, first, "before " * 50),) * bool(given) + (Span(first, last, "word " * words),)
    return Codes(torch.ones(1, 2, last, dtype=torch.int64), [last], "nano", takes=[Take(1, stop, spans)])


@pytest.mark.parametrize(
    "codes, problem",
    [
        (
            spoken(5.2, 111),
            "5.2 s for 111 words: the text may be too long for this checkpoint. Use Long Text",
        ),
        (spoken(5.2, 111, "limit"), "5.2 s for 111 words: the time limit cut it. Raise max_seconds"),
        (spoken(24, 8), "24.0 s for 8 words: it may go on after the text. Try another seed"),
        (spoken(5.2, 111, "interrupted"), ""),
        (spoken(5.2, 111, None), ""),
        (spoken(4, 3), ""),  # who knows how three words were said
        (spoken(3, 8), ""),
        (spoken(3, 8, given=0.8), ""),
    ],
)
def test_pace(codes, problem):
    assert pace_problem(codes) == problem


def test_the_take_is_named():
    good, bad = spoken(5.2, 12).takes[0], spoken(5.2, 111).takes[0]
    codes = Codes(torch.ones(2, 2, 65, dtype=torch.int64), [65, 65], "nano", takes=[good, bad])
    assert pace_problem(codes).startswith("Take 2: 5.2 s for 111 words")
