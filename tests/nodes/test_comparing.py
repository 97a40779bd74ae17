"""Blend and Compare in ComfyUI, on two vocoders' sound of the same codes."""

import pytest
import torch
from harness.graphs import graph

from miso.audio.files import read_audio


def two(third: bool = False, **blend) -> dict:
    """The codes of 3 through 4 and, with fewer codebooks, in 9: blended in 10, compared in 11."""
    prompt = graph(n6__audio=["10", 0])
    inputs = {"a": ["5", 0], "b": ["9", 0], "share": 0.5, "start": 0.0, "end": 0.0, **blend}
    compared = {"a": ["5", 0], "b": ["9", 0], **({"c": ["10", 0]} if third else {})}
    return prompt | {
        "8": {"class_type": "MisoKeepCodebooks", "inputs": {"codes": ["3", 0], "count": 2}},
        "9": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["8", 0], "vocoder": ["4", 0]}},
        "10": {"class_type": "MisoBlend", "inputs": inputs},
        "11": {"class_type": "MisoCompare", "inputs": compared},
    }


def test_two_sounds_are_blended_and_compared_and_nothing_is_sampled_again(fresh):
    done = fresh.run(two(third=True))
    assert done.ok, done.error
    a, b, mixed = (fresh.value(node)["waveform"] for node in (5, 9, 10))
    torch.testing.assert_close(mixed, (a + b) / 2)
    assert fresh.value(10)["sample_rate"] == 24_000 and mixed.shape == (2, 1, 10 * 1920)
    text, image = fresh.value(11), fresh.value(11, 1)
    assert image.shape[0] == 2 and image.shape[3] == 3 and image.std() > 0.05
    lines = text.splitlines()
    assert len(lines) == 4 and lines[0].startswith("Take 1: b is ") and "dB from a" in lines[0]
    to_b, to_c = (float(line.split(" is ")[1].split(" dB")[0]) for line in lines[:2])
    assert to_b > 1 and to_c < to_b  # half of a is in c
    assert len(done.outputs["11"]["images"]) == 2 and "b is" in done.lines("11")[0]
    (played,) = done.outputs["11"]["miso_sounds"]
    heard = [read_audio(fresh.base / "temp" / s["subfolder"] / s["filename"]) for s in played["sounds"]]
    assert played["sample_rate"] == 24_000 and {rate for _, rate in heard} == {24_000}
    for (wave, _), sound in zip(heard, (a, b, mixed)):
        torch.testing.assert_close(wave, sound[0, 0], atol=1e-4, rtol=0)  # 16 bits of the first take
    again = fresh.run(two(third=True, share=1.0, start=0.2, end=0.4))
    assert again.ok and set(again.ran) == {"6", "10", "11"}
    mixed = fresh.value(10)["waveform"]
    assert mixed[..., :4800].equal(a[..., :4800]) and mixed[..., 9600:].equal(a[..., 9600:])
    assert mixed[..., 6000:9000].equal(b[..., 6000:9000])


@pytest.mark.parametrize(
    "inputs, words",
    [
        ({"start": 5.0}, "Blend Sounds, start: start is 5 s; the sound ends at 0.80 s"),
        ({"start": 0.5, "end": 0.2}, "Blend Sounds, end: end is 0.2 s, start 0.5 s"),
    ],
)
def test_a_range_outside_the_sound_is_said_at_its_input(fresh, inputs, words):
    assert fresh.run(two(**inputs)).error.startswith(words)


def test_other_rates_lengths_and_no_sound(fresh):
    assert fresh.run(two()).ok
    fresh.replace(9, {"waveform": torch.rand(1, 2, 48_000) * 0.1, "sample_rate": 48_000})
    done = fresh.run(two(share=0.25))
    assert done.ok, done.error
    assert fresh.value(10)["sample_rate"] == 48_000 and fresh.value(10)["waveform"].shape == (2, 2, 48_000)
    fresh.replace(9, None)
    assert fresh.run(two(share=0.3)).error.startswith("Blend Sounds, b: There is no sound")
