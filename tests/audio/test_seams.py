"""Audibility of seams in artificial speech."""

import pytest
import torch

from miso.audio.seams import audibility
from miso.errors import MisoError


def speech(seconds: float, rate: int, seed: int) -> torch.Tensor:
    """Noise that swells and fades four times a second, like syllables."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(int(seconds * rate)) / rate
    tone = sum(torch.sin(2 * torch.pi * f * t) / f for f in (120, 240, 720, 1800)) * 60
    return (
        (tone + 0.3 * torch.randn(len(t), generator=generator))
        * (0.55 + 0.45 * torch.sin(2 * torch.pi * 4 * t))
        * 0.1
    )


def test_a_click_is_audible_and_plain_speech_is_not():
    rate = 24_000
    wave = speech(4, rate, seed=1)
    places = [int(s * rate) for s in (0.7, 1.3, 2.1, 2.9)]
    plain = audibility(wave, rate, places)
    clicking = wave.clone()
    for place in places:
        clicking[place:] *= -1  # a jump, and a click with it
        clicking[place] += 0.8
    assert max(plain) < 0.98 and sum(plain) / 4 < 0.8
    assert min(audibility(clicking, rate, places)) > 0.99


def test_a_gap_is_more_audible_than_a_crossfade():
    rate = 24_000
    a, b = speech(2, rate, seed=1), speech(2, rate, seed=2)
    gap = torch.cat((a, torch.zeros(rate // 50), b))
    fade = torch.linspace(0, 1, rate // 10)
    soft = torch.cat((a[: -len(fade)], a[-len(fade) :] * (1 - fade) + b[: len(fade)] * fade, b[len(fade) :]))
    (hard,) = audibility(gap, rate, [2 * rate + rate // 50])
    (faded,) = audibility(soft, rate, [2 * rate - len(fade) // 2])
    assert hard > 0.99 > faded
    with pytest.raises(MisoError):
        audibility(a[:100], rate, [50])
    with pytest.raises(MisoError):
        audibility(torch.zeros(rate), rate, [50])
