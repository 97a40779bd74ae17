"""Silence is cut off both ends."""

import pytest
import torch

from miso.audio.trim import trim_silence
from miso.errors import MisoError

RATE = 24_000


def sound(before=0.5, seconds=1.0, after=0.7, takes=1):
    lengths = (round(part * RATE) for part in (before, seconds, after))
    parts = [value * torch.ones(length) for value, length in zip((0, 0.5, 0), lengths)]
    return torch.cat(parts).expand(takes, 1, -1)


def test_the_sound_stays_whole_with_the_silence_asked_for():
    cut = trim_silence(sound(), RATE, keep=0.1)
    assert cut.shape[2] / RATE == pytest.approx(1.2, abs=0.03)
    assert (cut == 0.5).sum() == RATE  # nothing of the sound is faded
    assert trim_silence(sound(), RATE, keep=5).equal(sound())  # more than there is


def test_takes_stay_together():
    early, late = sound(before=0.2, after=1.0)[0], sound(before=0.8, after=0.4)[0]
    cut = trim_silence(torch.stack((early, late)), RATE, keep=0)
    assert cut.shape[:2] == (2, 1) and cut.shape[2] / RATE == pytest.approx(1.6, abs=0.05)


def test_a_cut_does_not_click():
    noise = torch.cat((0.004 * torch.ones(RATE), torch.ones(RATE), 0.004 * torch.ones(RATE)))[None, None]
    cut = trim_silence(noise, RATE, keep=0.1)
    assert cut.shape[2] < 1.3 * RATE and cut[..., 0].abs() < 1e-4 and cut[..., -1].abs() < 1e-4


def test_nothing_is_cut_of_silence():
    silence = torch.zeros(1, 1, 1000)
    assert trim_silence(silence, RATE).equal(silence)


@pytest.mark.parametrize("values, name", [({"threshold": 0}, "threshold"), ({"keep": -1}, "keep")])
def test_values_out_of_range_are_refused(values, name):
    with pytest.raises(MisoError) as e:
        trim_silence(sound(), RATE, **values)
    assert e.value.input == name
