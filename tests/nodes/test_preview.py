"""The sampler's live events, seen from the server's side."""

import base64
import json

import numpy as np
import pytest
from harness.graphs import graph


@pytest.fixture
def watched(comfy):
    """ComfyUI with a browser that is connected, as far as the pack can tell."""
    comfy.reset()
    comfy.server.sockets["test"] = None
    yield comfy
    del comfy.server.sockets["test"]


def test_chunks_put_together_are_the_decoded_take(watched):
    prompt = graph(n3__preview=["4", 0], n3__max_seconds=2.4)
    done = watched.run(prompt)
    assert done.ok, done.error
    chunks = [data for event, data in done.events if event == "miso.preview.audio"]
    assert {c["node"] for c in chunks} == {"3"} and len(chunks) > 3
    assert [c["start"] for c in chunks] == [0, *(c["end"] for c in chunks[:-1])]
    heard = np.concatenate([np.frombuffer(base64.b64decode(c["pcm"]), "<i2") for c in chunks]) / 32767
    final = watched.value(5)["waveform"][0, 0].numpy()
    assert np.abs(heard - final).max() < 1e-3


def test_a_continued_take_is_heard_whole(watched):
    prompt = graph(n3__preview=["4", 0], n3__prefix=["8", 0], n3__takes=1, n3__seed=4)
    prompt["8"] = {"class_type": "MisoPickTake", "inputs": {"codes": ["9", 0], "take": 0}}
    prompt["9"] = {"class_type": "MisoBackboneSampler", "inputs": {**graph()["3"]["inputs"]}}
    done = watched.run(prompt)
    assert done.ok, done.error
    chunks = [data for event, data in done.events if event == "miso.preview.audio"]
    assert (
        {c["given"] for c in chunks} == {10 * 1920}
        and chunks[0]["start"] == 0
        and chunks[-1]["end"] == 20 * 1920
    )
    heard = np.concatenate([np.frombuffer(base64.b64decode(c["pcm"]), "<i2") for c in chunks]) / 32767
    assert np.abs(heard - watched.value(5)["waveform"][0, 0].numpy()).max() < 1e-3
    counts = [data for event, data in done.events if event == "miso.preview" and data["node"] == "3"]
    assert counts[-1]["frame"] == counts[-1]["frames_max"] == 10 and counts[-1]["stops"] == ["limit"]
    assert counts[-1]["given"] == 10 and counts[-1]["seconds"] == 1.6  # all that is heard


def test_the_end_carries_what_can_be_heard_again_and_what_seems_wrong(watched):
    prompt = graph(n3__preview=["4", 0], n3__seed=80, n2__text="word " * 40)
    done = watched.run(prompt)
    assert done.ok, done.error
    *before, last = [data for event, data in done.events if event == "miso.preview"]
    assert all(data["sound"] is data["note"] is data["stops"] is None for data in before)
    problem = "0.8 s for 40 words: the time limit cut it. Raise max_seconds"
    assert last["vocoder"] is True and last["note"] == f"Take 1: {problem}"
    path = watched.base / "temp" / last["sound"]["subfolder"] / last["sound"]["filename"]
    wave, rate = watched.module("miso.audio").read_audio(path)
    final = watched.value(5)["waveform"][0, 0]
    assert rate == 24000 and (wave.flatten() - final.clamp(-1, 1)).abs().max() < 1e-3
    watched.reset()
    kept = [data for event, data in watched.run(prompt).events if event == "miso.preview"]
    assert kept[-1]["speed"] is None and kept[-1]["sound"] and kept[-1]["note"] == last["note"]


def test_a_kept_run_is_heard_too(watched):
    prompt = graph(n3__preview=["4", 0], n3__seed=77)
    first = watched.run(prompt)
    watched.reset()
    done = watched.run(prompt)
    assert done.ok and tuple(done.outputs["3"]["miso_kept"]) == (True,), done.error
    heard, before = (
        np.concatenate(
            [
                np.frombuffer(base64.b64decode(data["pcm"]), "<i2")
                for event, data in run.events
                if event == "miso.preview.audio"
            ]
        )
        for run in (done, first)
    )
    assert np.abs(heard - before.astype(int)).max() <= 1  # other chunks, the same sound
    last = [data for event, data in done.events if event == "miso.preview"][-1]
    assert last["speed"] is None and last["stops"] == ["limit", "limit"]


def test_two_alike_are_both_seen_and_sampled_once(watched):
    prompt = graph(n3__preview=["4", 0], n3__seed=79)
    prompt["8"] = json.loads(json.dumps(prompt["3"]))
    prompt["9"] = {
        "class_type": "MisoSaveCodes",
        "inputs": {"codes": ["8", 0], "filename_prefix": "codes/twin"},
    }
    done = watched.run(prompt)
    assert done.ok and {"3", "8"} <= set(done.ran), done.error
    counts = {
        node: [d for e, d in done.events if e == "miso.preview" and d["node"] == node] for node in ("3", "8")
    }
    assert sorted(seen[-1]["speed"] is None for seen in counts.values()) == [
        False,
        True,
    ]  # one of them found what the other had kept
    ends = {
        node: [d["end"] for e, d in done.events if e == "miso.preview.audio" and d["node"] == node][-1]
        for node in ("3", "8")
    }
    assert set(ends.values()) == {10 * 1920} and watched.value(3).tensor.equal(watched.value(8).tensor)
    assert watched.run(prompt).ran == []  # each has a result of its own, which stays


def test_chosen_kept_codes_are_heard(watched):
    assert watched.run(graph(n3__seed=78)).ok
    codes, choices = (
        watched.value(3),
        watched.object_info["MisoStoredCodes"]["input"]["required"]["kept"][1]["options"],
    )
    done = watched.run(
        {
            "1": {"class_type": "MisoStoredCodes", "inputs": {"kept": choices[0], "preview": ["4", 0]}},
            "4": graph()["4"],
            "5": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["1", 0], "vocoder": ["4", 0]}},
            "6": graph()["6"],
        }
    )
    assert done.ok, done.error
    assert watched.value(1).tensor.equal(codes.tensor)
    heard = (
        np.concatenate(
            [
                np.frombuffer(base64.b64decode(d["pcm"]), "<i2")
                for e, d in done.events
                if e == "miso.preview.audio"
            ]
        )
        / 32767
    )
    assert np.abs(heard - watched.value(5)["waveform"][0, 0].numpy()).max() < 1e-3
    last = [d for e, d in done.events if e == "miso.preview" and d["node"] == "1"][-1]
    assert last["frame"] == last["frames_max"] == 10 and last["speed"] is None


def test_the_loader_says_which_precision_and_why(comfy):
    comfy.reset()
    done = comfy.run(graph())
    assert done.ok and done.lines("1") == ["fp32: the CPU is fastest at it"]


def test_nobody_listening_costs_nothing(comfy):
    comfy.reset()
    done = comfy.run(graph(n3__preview=["4", 0]))
    assert done.ok, done.error
    assert not [event for event, _ in done.events if event.startswith("miso.preview")]


def test_without_preview_only_counts(watched):
    done = watched.run(graph())
    told = [data for event, data in done.events if event.startswith("miso.preview")]
    assert {event for event, _ in done.events if event.startswith("miso.preview")} == {"miso.preview"}
    assert told[-1]["vocoder"] is False and told[-1]["sound"] is None


def test_a_vocoder_that_does_not_fit_is_refused_before_sampling(watched):
    prompt = graph(n3__preview=["4", 0])
    prompt["4"]["inputs"]["backend"] = "transformers"
    done = watched.run(prompt)
    assert not done.ok and "Backbone Sampler, preview" in done.error and "stream" in done.error, done.error
    assert not [event for event, _ in done.events if event.startswith("miso.preview")]


def interrupt_at(comfy, frame: int):
    def stop(value, total):
        if total == 10 and value == frame:
            comfy.model_management.interrupt_current_processing()

    comfy.on_progress = stop


def test_interrupted_codes_are_handed_on_and_not_kept(watched):
    interrupt_at(watched, 4)
    try:
        done = watched.run(graph(n3__preview=["4", 0], n3__use_partial=True))
    finally:
        watched.on_progress = lambda value, total: None
    assert done.ok and {"5", "6", "7"} <= set(done.ran)
    codes = watched.value(3)
    assert codes.frames == 5 and {take.stop for take in codes.takes} == {"interrupted"}
    assert watched.value(3, 1).tensor.shape[1] == 5 and watched.value(5)["waveform"].shape[2] == 5 * 1920
    counts = [data for event, data in done.events if event == "miso.preview"]
    assert counts[-1]["frame"] == 5 and counts[-1]["stops"] == ["interrupted", "interrupted"]
    again = watched.run(graph(n3__preview=["4", 0], n3__use_partial=True))
    assert "3" in again.ran and watched.value(3).frames == 10  # the workflow gives what it always gives
    assert watched.run(graph(n3__preview=["4", 0], n3__use_partial=True)).ran == []


def test_a_stopped_take_is_shown(watched):
    interrupt_at(watched, 4)
    try:
        done = watched.run(graph(n3__preview=["4", 0]))
    finally:
        watched.on_progress = lambda value, total: None
    assert done.end == "execution_interrupted"
    counts = [data for event, data in done.events if event == "miso.preview"]
    assert counts[-1]["frame"] == 5 and counts[-1]["stops"] == ["interrupted", "interrupted"]


def test_interrupted_before_the_first_frame_is_an_interrupt(watched, monkeypatch):
    sampling, mm = watched.module("nodes.sampling"), watched.model_management
    opened = sampling.Preview

    def open_and_stop(*args, **kwargs):
        mm.interrupt_current_processing()
        return opened(*args, **kwargs)

    monkeypatch.setattr(sampling, "Preview", open_and_stop)
    assert watched.run(graph()).end == "execution_interrupted"
