"""A recording is prepared for a voice prompt, and every change is named."""

import pytest
import torch

from miso.audio.check import background
from miso.audio.loudness import measure
from miso.audio.prepare import prepare
from miso.errors import MisoError

RATE = 24_000


def recording(seconds: float = 6.0, noise: float = 0.0) -> torch.Tensor:
    """Buzzes of half a second with pauses as long between, in noise: samples [N]."""
    time = torch.arange(round(seconds * RATE)) / RATE
    buzz = 0.3 * (6.28 * 150 * time).sin() * (6.28 * 1300 * time).sin() * ((time % 1) < 0.5)
    return buzz + noise * torch.randn(len(time), generator=torch.Generator().manual_seed(0))


def test_silence_length_and_loudness():
    silence = torch.zeros(RATE)
    wave, done = prepare(torch.cat((silence, recording(), silence)), RATE, seconds=4.8, lufs=-23)
    assert 4.6 <= len(wave) / RATE <= 4.8  # in the last pause
    assert measure(wave[None], RATE).loudness == pytest.approx(-23, abs=0.5)
    assert "s of silence cut off" in done[0] and "in a pause, of 5.7 s" in done[1] and "LUFS" in done[2]


def test_nothing_is_done_unasked():
    wave = recording()
    kept, done = prepare(wave, RATE, seconds=0, lufs=0, trim=False)
    assert kept.equal(wave) and done[0] == "Nothing was changed."
    kept, done = prepare(torch.zeros(RATE), RATE)
    assert kept.equal(torch.zeros(RATE)) and done[:2] == ["Nothing was changed.", "It is silent."]


def test_what_is_wrong_is_said():
    assert "clipped" in " ".join(prepare((10 * recording()).clamp(-1, 1), RATE).done)
    assert "Noisy" in " ".join(prepare(recording(noise=0.02), RATE).done)
    assert "Only 1.5 s" in " ".join(prepare(recording(1.5), RATE, trim=False).done)
    for name, value in (("seconds", -1), ("denoise", 2), ("lufs", 3)):
        with pytest.raises(MisoError) as e:
            prepare(recording(), RATE, **{name: value})
        assert e.value.input == name


def test_noise_is_taken_away_by_a_package():
    pytest.importorskip("noisereduce")
    noisy = recording(noise=0.01)
    wave, done = prepare(noisy, RATE, denoise=0.9, lufs=0, trim=False, seconds=0)
    assert background(wave, RATE) > background(noisy, RATE) + 6 and "Noise reduced" in done[0]
    assert wave.shape == noisy.shape and wave.dtype == noisy.dtype


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "noisereduce", None)
    with pytest.raises(MisoError, match="pip install noisereduce"):
        prepare(recording(), RATE, denoise=0.5)
