"""The harness itself, on ComfyUI's own blocks: what the pack's tests stand on."""

import pytest

SILENCE = {
    "1": {"class_type": "EmptyAudio", "inputs": {"duration": 0.5, "sample_rate": 24000, "channels": 1}},
    "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "harness"}},
}


def test_in_process(comfy):
    comfy.reset()
    first = comfy.run(SILENCE)
    assert first.ok and set(first.ran) == {"1", "2"} and not first.cached
    assert comfy.value(1)["waveform"].shape[-1] == 12000
    assert (comfy.base / "output" / first.outputs["2"]["audio"][0]["filename"]).stat().st_size > 0
    assert set(comfy.run(SILENCE).cached) == {"1", "2"}


def test_in_process_refusal(comfy):
    backwards = {
        "class_type": "EmptyAudio",
        "inputs": {"duration": -1.0, "sample_rate": 24000, "channels": 1},
    }
    refused = comfy.run({**SILENCE, "1": backwards})
    assert not refused.ok and "duration" in refused.error


def test_live(client, server):
    first = client.run(SILENCE)
    assert first.ok and set(first.ran) == {"1", "2"}
    saved = first.outputs["2"]["audio"][0]
    assert client.view(saved) == server.file(saved).read_bytes()
    second = client.run(SILENCE)
    assert set(second.cached) == {"1", "2"} and second.outputs == first.outputs
    refused = client.run({**SILENCE, "2": {"class_type": "SaveAudio", "inputs": {}}})
    assert not refused.ok and "audio" in refused.error


@pytest.mark.slow  # a start of its own; others start servers too
def test_flags(start_server):
    with start_server("--cache-none") as server:
        server.queue(SILENCE)
        assert "--cache-none" in server.get("/system_stats")["system"]["argv"]
