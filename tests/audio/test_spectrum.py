"""How far sounds are apart, in dB, and pictures of them."""

import math

import pytest
import torch

from miso.audio.spectrum import difference, draw_spectrograms

RATE = 24_000


def noise(seconds: float = 1, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_the_same_sound_has_no_distance_at_any_loudness():
    found = difference(noise(), 2 * noise(), RATE)
    assert found.distance < 1e-3 and found.louder == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_a_known_filter_has_its_distance():
    """Half of the band lowered by 12 dB: about 6 dB above and below the mean, when levels are the same."""
    wave = noise(4)
    spectrum = torch.fft.rfft(wave)
    spectrum[len(spectrum) // 2 :] *= 0.25
    found = difference(wave, torch.fft.irfft(spectrum, len(wave)), RATE)
    gain = 10 * math.log10((1 + 0.0625) / 2)
    expected = math.sqrt((gain**2 + (12.04 + gain) ** 2) / 2)
    assert found.distance == pytest.approx(expected, rel=0.05)


def test_more_noise_is_farther_away():
    distances = [difference(noise(), noise() + k * noise(seed=1), RATE).distance for k in (0.1, 0.3, 1)]
    assert 0 < distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("wave", [torch.zeros(RATE), torch.ones(3), torch.zeros(1)])
def test_silence_and_moments_are_no_trouble(wave):
    assert math.isfinite(difference(wave, wave, RATE).distance)
    assert draw_spectrograms([wave, wave], RATE).isfinite().all()


def test_a_tone_is_drawn_where_it_is():
    time = torch.arange(RATE) / RATE
    low, high = (0.5 * torch.sin(2 * math.pi * f * time) for f in (1000, 9000))
    picture = draw_spectrograms([low, high], RATE)
    height, width, _ = picture.shape
    assert 0 <= picture.min() and picture.max() <= 1
    left, right = picture[:, : width // 2 - 8], picture[:, width // 2 + 8 :]
    for panel, frequency in ((left, 1000), (right, 9000)):
        row = int(panel.mean((1, 2)).argmax())
        assert abs((height - row) / height * RATE / 2 - frequency) < 200
    hour = torch.zeros(3600 * 8000)
    assert difference(hour, hour, 8000).distance == 0  # in no more memory than minutes take
    long = draw_spectrograms([torch.zeros(60 * RATE)], RATE)
    assert long.shape[1] <= 512  # however long it is
