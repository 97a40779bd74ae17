"""Two sounds as one: aligned to the sample at any rates, with shares that add up to 1."""

import math

import pytest
import torch

from miso.audio.blend import FADE, align, blend
from miso.errors import MisoError

RATE = 24_000


def tone(seconds: float, rate: int, frequency: float = 300) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    swell = torch.sin(math.pi * time / seconds).square()
    return (0.5 * torch.sin(2 * math.pi * frequency * time) * swell)[None, None]


@pytest.mark.parametrize("other", [24_000, 48_000, 44_100, 16_000, 22_051])
def test_the_same_sound_at_another_rate_is_the_same(other):
    rate = max(RATE, other)
    a, b = align((tone(1, RATE), tone(1, other)), (RATE, other), rate)
    assert a.shape == b.shape and abs(a.shape[2] - rate) <= 1
    assert (a - b).abs().max() < 2e-3  # a lag of one sample would give 20e-3 and more
    assert (blend(a, b, rate, 0.5) - a).abs().max() < 2e-3


def test_a_range_of_one_sound_in_the_other():
    a, b = torch.ones(1, 1, RATE), torch.full((1, 1, RATE), 3.0)
    mixed = blend(a, b, RATE, 1.0, 0.25, 0.75)[0, 0]
    fade, first, last = round(FADE * RATE), RATE // 4, 3 * RATE // 4
    assert (mixed[:first] == 1).all() and (mixed[last:] == 1).all()
    assert (mixed[first + fade : last - fade] == 3).all()
    assert mixed.diff().abs().max() < 2.5 / fade  # no jump anywhere
    assert (blend(a, b, RATE, 0.25) == 1.5).all()  # everywhere, to the very ends
    assert blend(a, b, RATE, 0).equal(a) and blend(a, b, RATE, 1).equal(b)
    to_the_end = blend(a, b, RATE, 1.0, 0.25)[0, 0]
    assert to_the_end[-1] == 3 and to_the_end[0] == 1
    assert blend(a, b, RATE, 1.0, 0.5, 0.50004).isfinite().all()  # a range of one sample


def test_the_shorter_one_is_silent_after_its_end_and_one_take_goes_with_all():
    a, b = align((torch.ones(3, 1, 10), torch.ones(1, 2, 6)), (RATE, RATE), RATE)
    assert a.shape == b.shape == (3, 2, 10)
    assert b[..., :6].all() and not b[..., 6:].any()
    with pytest.raises(MisoError, match="as many takes, or with one: these have 3 and 2"):
        align((torch.ones(3, 1, 10), torch.ones(2, 1, 10)), (RATE, RATE), RATE)


@pytest.mark.parametrize(
    "arguments, input", [((1.5,), "share"), ((0.5, 1.0), "start"), ((0.5, 0.4, 0.4), "end")]
)
def test_what_is_out_of_bounds_is_named(arguments, input):
    with pytest.raises(MisoError) as e:
        blend(torch.ones(1, 1, RATE), torch.ones(1, 1, RATE), RATE, *arguments)
    assert e.value.input == input
