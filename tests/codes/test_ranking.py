"""Takes are ranked by how they ended, how long they are for their text, and how likely they are."""

import torch

from miso.codes.codes import Codes
from miso.codes.ranking import rank
from miso.codes.takes import Span, Take

TEXT = "Six words take two seconds here."


def codes(*takes):
    """Takes of (stop reason, frames, log probability)."""
    lengths = [frames for _, frames, _ in takes]
    made = tuple(
        Take(i, stop, (Span(0, frames, TEXT),), likelihood)
        for i, (stop, frames, likelihood) in enumerate(takes)
    )
    return Codes(torch.ones(len(takes), 8, max(lengths), dtype=torch.int64), lengths, "nano", takes=made)


def test_the_order():
    ranked = rank(
        codes(
            ("eos", 25, -3.0),
            ("limit", 25, -1.0),
            ("eos", 25, -2.0),
            ("eos", 200, -0.5),  # 16 s
            ("interrupted", 20, -0.1),
            ("eos", 25, None),
        )
    )
    assert [r.take for r in ranked] == [2, 0, 5, 3, 4, 1]
    assert [r.sound for r in ranked] == [True, True, True, False, False, False]
    assert "odd length" in ranked[3].why and "didn't end by itself" in ranked[4].why


def test_what_was_heard_comes_before_likelihood():
    takes = codes(("eos", 25, -3.0), ("eos", 25, -1.0), ("eos", 25, -2.0), ("limit", 25, -0.5))
    ranked = rank(takes, [0.0, 0.25, 0.0, 0.0])
    assert [r.take for r in ranked] == [2, 0, 1, 3]
    assert "25 % of the words wrong, likelihood -1.00" in ranked[2].why


def test_equal_takes_stay_in_order():
    assert [r.take for r in rank(codes(*[("eos", 25, -2.0)] * 3))] == [0, 1, 2]
