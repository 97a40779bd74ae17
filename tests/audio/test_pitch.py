"""Pitch of signals whose pitch is known."""

import pytest
import torch

from miso.audio.pitch import WINDOW, pitch

RATE, HOP = 24_000, 240


def voice(hertz: torch.Tensor) -> torch.Tensor:
    """Samples [1, N] of five harmonics of a pitch that changes from sample to sample."""
    turns = (hertz / RATE).cumsum(0)
    return sum((2 * torch.pi * k * turns).sin() / k for k in range(1, 6))[None] * 0.1


@pytest.mark.parametrize("hertz", [80, 117.3, 210, 333])
def test_a_steady_tone(hertz):
    found, voiced = pitch(voice(torch.full((RATE,), float(hertz))), RATE, HOP)
    assert found.shape == (1, (RATE - WINDOW) // HOP + 1) and voiced.all()
    assert (found / hertz - 1).abs().max() < 0.005


def test_a_glide_and_silence_and_noise():
    glide = torch.linspace(100, 200, RATE)
    noise = 0.1 * torch.randn(1, RATE // 2, generator=torch.Generator().manual_seed(0))
    found, voiced = pitch(torch.cat((torch.zeros(1, RATE // 2), voice(glide), noise), 1), RATE, HOP)
    centres = torch.arange(found.shape[1]) * HOP + WINDOW // 2 - RATE // 2
    inside = (centres > WINDOW) & (centres < RATE - WINDOW)
    assert voiced[0, inside].all() and (found[0, inside] / glide[centres[inside]] - 1).abs().max() < 0.02
    outside = (centres < -WINDOW) | (centres > RATE + WINDOW)
    assert voiced[0, outside].float().mean() < 0.05
    # before the first voiced window its pitch is used
    assert (found[0, centres < -WINDOW] - found[0, inside][0]).abs().max() < 10


def test_the_pitch_of_silence_is_150_hz():
    found, voiced = pitch(torch.zeros(2, RATE), RATE, HOP)
    assert not voiced.any() and (found == 150).all()
