"""Loudness and Trim Silence in ComfyUI."""

from harness.graphs import graph


def add_loudness(prompt, node):
    """Between this node's sound and Save Audio."""
    settings = {"audio": [node, 0], "lufs": -20.0, "peak": -1.0}
    prompt["22"] = {"class_type": "MisoLoudness", "inputs": settings}
    prompt["6"]["inputs"]["audio"] = ["22", 0]


def test_they_compose_after_the_vocoder(fresh):
    prompt = graph()
    trim = {"audio": ["5", 0], "keep": 0.0, "threshold": -40.0}
    prompt["21"] = {"class_type": "MisoTrimSilence", "inputs": trim}
    add_loudness(prompt, "21")
    done = fresh.run(prompt)
    assert done.ok, done.error
    before, after = fresh.value(5)["waveform"], fresh.value(22)["waveform"]
    assert after.shape[:2] == before.shape[:2] and 0 < after.shape[2] <= before.shape[2]
    (cut,), (level,) = done.lines("21"), done.lines("22")
    assert "s cut off" in cut and level.count("LUFS") == 2  # takes


def test_silence_stays_silence(fresh):
    prompt = graph()
    empty = {"duration": 0.5, "sample_rate": 24000, "channels": 2}
    prompt["23"] = {"class_type": "EmptyAudio", "inputs": empty}
    add_loudness(prompt, "23")
    done = fresh.run(prompt)
    assert done.ok and done.lines("22") == ["silence"], done.error
