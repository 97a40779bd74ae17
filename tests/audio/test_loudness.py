"""Loudness by BS.1770, and gain to a target."""

import math

import pytest
import torch

from miso.audio.loudness import measure, to_loudness
from miso.errors import MisoError

RATE = 48_000


def tone(seconds=3.0, peak=1.0, frequency=997.0):
    return peak * torch.sin(2 * math.pi * frequency * torch.arange(round(seconds * RATE)) / RATE)[None]


def test_a_full_scale_tone_has_the_loudness_of_the_standard():
    level = measure(tone(), RATE)
    assert level.loudness == pytest.approx(-3.01, abs=0.1) and level.peak == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("target", [-16.0, -23.0])
def test_the_target_is_reached(target):
    wave, level = to_loudness(tone(peak=0.02), RATE, target, -1)
    assert level.loudness == pytest.approx(target, abs=0.05)
    assert measure(wave, RATE).loudness == pytest.approx(target, abs=0.1)


def test_peaks_hold_the_gain_back_also_between_samples():
    quiet = tone(peak=0.01)
    quiet[0, 1000] = 0.5
    wave, level = to_loudness(quiet, RATE, -16, -1)
    assert level.peak == pytest.approx(-1, abs=0.05) and level.loudness < -20
    assert torch.allclose(wave / wave.abs().max(), quiet / quiet.abs().max(), atol=1e-6)  # only the gain
    # a tone at a quarter of the rate, between whose samples lie its peaks
    between = torch.sin(math.pi / 2 * torch.arange(RATE, dtype=torch.float64) + math.pi / 4)[None].float()
    assert between.abs().max() < 0.71 and measure(between, RATE).peak == pytest.approx(0, abs=0.2)


def test_silence_and_short_sounds():
    silence = torch.zeros(1, RATE)
    assert to_loudness(silence, RATE, -16, -1)[0].equal(silence)
    assert math.isfinite(measure(tone(seconds=0.1), RATE).loudness)


@pytest.mark.parametrize("target, ceiling, name", [(3, -1, "lufs"), (-16, 2, "peak"), (math.nan, -1, "lufs")])
def test_targets_out_of_range_are_refused(target, ceiling, name):
    with pytest.raises(MisoError) as e:
        to_loudness(tone(), RATE, target, ceiling)
    assert e.value.input == name
