"""What is said about a recording before it becomes codes, and what is refused as no sound."""

import math

import numpy as np
import pytest
import torch

from miso.audio.check import as_wave, is_speech, remarks
from miso.checkpoints.find import BUNDLED
from miso.errors import MisoError
from miso.speech import Miso
from miso.text.conditioning import Segment
from miso.vocoders import decode_codes, load_vocoder

RATE = 24000
T = torch.arange(3 * RATE) / RATE
NOISE = torch.randn(len(T), generator=torch.Generator().manual_seed(0)) * 0.1
BEEPS = torch.sin(2 * math.pi * 1000 * T) * ((2 * T) % 1 < 0.5)
NO_SPEECH = {
    "tone": torch.sin(2 * math.pi * 440 * T) * 0.5,
    "noise": NOISE,
    "beeps": BEEPS * 0.4,
    "noise in bursts": NOISE * ((2 * T) % 1 < 0.5),
    "sweep": torch.sin(2 * math.pi * (100 * T + 400 * T.square())) * 0.5,
    "hum": sum(torch.sin(2 * math.pi * 50 * k * T) / k for k in range(1, 20)) * 0.2,
    "clicks": (torch.arange(len(T)) % 12000 == 0).float(),
}


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    """A sentence of nano's [N] at 24 kHz."""
    miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
    loop = miso.sample([Segment("My sister planted a row of beans.")], seeds=[3], max_seconds=6)
    list(loop)
    vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors", device="cpu")
    return decode_codes(vocoder, loop.codes).waveform[0, 0]


def test_nothing_is_said_about_good_speech(speech):
    assert remarks(speech, RATE) == []
    noise = torch.randn(len(speech), generator=torch.Generator().manual_seed(1)) * speech.std()
    assert is_speech(speech + 0.3 * noise, RATE) and is_speech(0.1 * speech, RATE)


@pytest.mark.parametrize("name", NO_SPEECH)
def test_tones_and_noise_are_told_from_speech(name):
    assert "This doesn't sound like speech." in remarks(NO_SPEECH[name], RATE)


@pytest.mark.parametrize(
    "change, rate, words",
    [
        (lambda x: x[::3], 8000, "8 kHz"),
        (lambda x: x / x.abs().max() * 0.01, RATE, "very quiet"),
        (lambda x: (x / x.abs().max() * 6).clamp(-1, 1), RATE, "clipped"),
        (lambda x: torch.cat((torch.zeros(3 * RATE), x)), RATE, "silence at the beginning"),
        (lambda x: torch.cat((x, torch.zeros(3 * RATE))), RATE, "silence at the end"),
        (lambda x: torch.cat((x, torch.zeros(3 * RATE), x)), RATE, "silence in it"),
    ],
)
def test_what_is_odd_is_said(speech, change, rate, words):
    found = remarks(change(speech), rate)
    assert len(found) == 1 and words in found[0], found


def test_silence_is_just_that():
    assert remarks(torch.zeros(RATE), RATE) == ["It is silent."]


WAVE = torch.rand(1, 2, 50) - 0.5


@pytest.mark.parametrize(
    "waveform, expected",
    [
        (WAVE, WAVE),
        (WAVE[0], WAVE),
        (WAVE[0, 0], WAVE[:, :1]),
        (WAVE.numpy(), WAVE),
        (WAVE.double(), WAVE),
        ((WAVE * 32768).round().short(), (WAVE * 32768).round() / 32768),
        (np.array([[0, 128, 255]], np.uint8), torch.tensor([[[-1, 0, 127 / 128]]])),
    ],
)
def test_every_shape_and_kind_of_sound_is_the_same_sound(waveform, expected):
    wave, rate = as_wave({"waveform": waveform, "sample_rate": 44100.0})
    assert rate == 44100 and wave.dtype == torch.float32 and torch.allclose(wave, expected, atol=1e-6)


@pytest.mark.parametrize(
    "audio, words",
    [
        (None, "There is no sound. If it comes from a video, that has none"),
        ("x.wav", "type str"),
        ({"sample_rate": 5}, "without a waveform"),
        ({"waveform": WAVE}, "no sample rate"),
        ({"waveform": WAVE, "sample_rate": 0}, "sample rate is 0"),
        ({"waveform": WAVE, "sample_rate": "24000"}, "sample rate is '24000'"),
        ({"waveform": WAVE[None], "sample_rate": 5}, "shape"),
        ({"waveform": WAVE > 0, "sample_rate": 5}, "bool"),
        ({"waveform": [["a"]], "sample_rate": 5}, "type list"),
        ({"waveform": WAVE[:, :, :0], "sample_rate": 5}, "empty"),
        ({"waveform": WAVE / 0, "sample_rate": 5}, "not numbers"),
    ],
)
def test_what_is_no_sound_is_refused_in_words(audio, words):
    with pytest.raises(MisoError, match=words):
        as_wave(audio)
