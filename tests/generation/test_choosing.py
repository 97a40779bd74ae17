"""Words as they are compared, and what the passes found."""

import torch

from miso.codes.codes import Codes
from miso.codes.hidden import Hidden
from miso.codes.takes import Span, Take
from miso.generation.choosing import Found, Heard, seeds_of_passes, word_error, words_of


def test_numbers_are_compared_as_words():
    assert word_error("It is 10:30.", "it is ten thirty") == 0 == word_error("Five cats", "5 cats", "en")
    assert word_error("One two three four.", "One two four, five.") == 0.5
    assert words_of("5 Katzen", "de") == ["5", "katzen"]  # nothing is known of the language
    assert words_of("今天很好。") == list("今天很好")  # no letters are left out of what isn't English
    assert word_error("今天很好。", "") == 1


def test_every_seed_has_its_pass():
    assert list(seeds_of_passes(7, 2, 5)) == [(7, 2), (9, 2), (11, 1)]


def found(*passes: list[tuple[str, float]]) -> Found:
    """Passes of takes by stop reason and word error rate, seeds 0, 1, ..."""
    result, seed = Found(), 0
    for takes in passes:
        made = []
        for stop, _ in takes:
            made.append(Take(seed, stop, (Span(0, 25, "Six words take two seconds here."),), -1.0))
            seed += 1
        codes = Codes(
            torch.ones(len(takes), 8, 25, dtype=torch.int64), [25] * len(takes), "nano", takes=tuple(made)
        )
        hidden = Hidden(torch.full((len(takes), 25, 4), float(seed)), torch.tensor([25] * len(takes)), "x")
        result.add(codes, hidden, [Heard("", error) for _, error in takes])
    return result


def test_the_best_of_all_passes_is_picked():
    best = found([("eos", 0.5), ("limit", 0.0)], [("eos", 0.25)])
    take = best.ranking[0].take
    codes, hidden = best.pick(take)
    assert take == 2 == codes.takes[0].seed and float(hidden.tensor[0, 0, 0]) == 3 and best.takes == 3
    assert best.good_enough(0.25) and not best.good_enough(0.2)
    assert not found([("limit", 0.0)]).good_enough(1.0)  # cut, whatever was understood
