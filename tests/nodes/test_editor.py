"""The Code Editor in ComfyUI: it replays its list and runs alone, tells the browser what it draws, and blames
the operation that doesn't fit."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness.graphs import edit_graph, small_graph


def delete(start, end):
    return {"op": "delete", "start": start, "end": end}


ALL = [
    delete(2, 4),
    {"op": "insert_silence", "at": 3, "frames": 2},
    {"op": "copy", "start": 0, "end": 2, "to": 5},
    {"op": "move", "start": 0, "end": 1, "to": 4},
    {"op": "repeat", "start": 1, "end": 2, "times": 3},
    {"op": "insert", "at": 4, "start": 2, "end": 9},
    {"op": "replace_codebooks", "start": 0, "end": 5, "first": 2, "from": 1},
    {"op": "keep_codebooks", "count": 6},
]


def test_edits_replay_bit_by_bit(fresh, other):
    done = fresh.run(edit_graph(ALL))
    assert done.ok, done.error
    edited, takes = fresh.value(9), fresh.value(9).takes
    assert edited.tensor.shape == (1, 6, 10 - 2 + 2 + 2 + 3 + 7)
    fresh.reset()
    assert fresh.run(edit_graph(ALL)).ok
    assert fresh.value(9).tensor.equal(edited.tensor) and fresh.value(9).takes == takes
    editing = fresh.module("miso.codes.editing")
    codes = editing.delete(fresh.value(3), 2, 4)
    assert fresh.run(edit_graph([delete(2, 4)])).ok and fresh.value(9).tensor.equal(codes.tensor)
    assert "Another line." in [span.text for span in takes[0].spans]


def test_a_changed_edit_runs_the_editor_and_what_follows(fresh, other):
    assert fresh.run(edit_graph()).ok
    assert fresh.value(9).frames == 10
    assert set(fresh.run(edit_graph([delete(3, 7)])).ran) == {"9", "10"}
    assert fresh.value(9).frames == 6
    assert not fresh.run(edit_graph([delete(3, 7)])).ran
    assert set(fresh.run(edit_graph([delete(3, 7)], n4__backend="moshi")).ran) == {"4", "9", "10"}


def test_the_browser_gets_the_codes_before_the_edits(fresh, other):
    done = fresh.run(edit_graph([delete(3, 7)], n3__takes=2))
    assert done.ok, done.error
    shown = done.outputs["9"]["miso_codes"]
    assert [(s["input"], s["take"], s["frames"]) for s in shown] == [
        ("codes", 0, 10),
        ("codes", 1, 10),
        ("other", 0, 12),
    ]
    made = [fresh.value(3).take(0), fresh.value(3).take(1), fresh.value(8)]
    for entry, codes in zip(shown, made):
        ids = np.frombuffer(base64.b64decode(entry["codes"]), "<i2").reshape(
            entry["codebooks"], entry["frames"]
        )
        assert (ids == codes.tensor[0].numpy()).all()
        assert (entry["codebook_size"], entry["frame_rate"], entry["codec"]) == (64, 12.5, "tiny")
        assert entry["sound"]["type"] == "temp" and entry["sound"]["filename"].endswith(".flac")
    assert shown[2]["spans"] == [{"start": 0, "end": 12, "text": "Another line.", "speaker": 1}]
    assert [(s["seed"], s["stop"]) for s in shown] == [(3, "limit"), (4, "limit"), (5, "eos")]
    json.dumps(shown)


def test_the_sound_is_that_of_the_take_and_decoded_once(fresh, other):
    done = fresh.run(edit_graph())
    assert done.ok, done.error
    sound = done.outputs["9"]["miso_codes"][0]["sound"]
    path = fresh.base / "temp" / sound["subfolder"] / sound["filename"]
    wave, rate = fresh.module("miso.audio").read_audio(path)
    vocoder = fresh.value(4).loaded
    expected = fresh.module("miso.vocoders").decode_codes(vocoder, fresh.value(3)).waveform[0, 0]
    assert rate == 24000 and len(wave) == 19200 and (wave - expected.clamp(-1, 1)).abs().max() < 1e-4
    before = path.stat().st_mtime_ns
    done = fresh.run(edit_graph([delete(0, 1)]))
    assert (
        done.ran == ["9", "10"]
        and done.outputs["9"]["miso_codes"][0]["sound"] == sound
        and path.stat().st_mtime_ns == before
    )


def test_without_a_vocoder_there_is_no_sound(fresh, other):
    shown = fresh.run(edit_graph(vocoder=False)).outputs["9"]["miso_codes"]
    assert [entry["sound"] for entry in shown] == [None, None] and all(entry["codes"] for entry in shown)


def test_very_much_is_shown_in_part(fresh, other, monkeypatch):
    monkeypatch.setattr(fresh.module("nodes.editor"), "MOST_FRAMES", 15)
    shown = fresh.run(edit_graph()).outputs["9"]["miso_codes"]
    assert (
        shown[0]["codes"]
        and shown[0]["sound"]
        and shown[1]["codes"] is None
        and shown[1]["sound"] is None
        and shown[1]["frames"] == 12
    )


def test_resample_from_here_continues_and_without_the_mark_nothing_is_sampled(fresh, other):
    def prompt(edits):
        prompt = edit_graph(edits)
        prompt["11"] = {
            "class_type": "MisoBackboneSampler",
            "inputs": {**prompt["3"]["inputs"], "seed": 8, "prefix": ["9", 1]},
        }
        prompt["12"] = {
            "class_type": "MisoSaveCodes",
            "inputs": {"codes": ["11", 0], "filename_prefix": "codes/resampled"},
        }
        return prompt

    done = fresh.run(prompt([]))
    assert done.ok and "12" not in done.outputs and "10" in done.outputs
    done = fresh.run(prompt([delete(0, 2), {"op": "resample_from", "frame": 5}]))
    assert done.ok, done.error
    kept, resampled = fresh.value(3).tensor[:, :, 2:7], fresh.value(11)
    assert (
        resampled.tensor.shape == (1, 8, 15)
        and resampled.tensor[:, :, :5].equal(kept)
        and "3" not in done.ran
    )


def test_redecode_from_here_is_handed_on(fresh, other):
    assert fresh.run(edit_graph([{"op": "redecode_from", "frame": 4}])).ok
    assert fresh.value(9, 2) == 4 and fresh.value(9).tensor.equal(fresh.value(3).tensor)
    assert fresh.run(edit_graph()).ok and fresh.value(9, 2) == 0


@pytest.mark.parametrize(
    "edits, words",
    [
        (
            [delete(0, 2), delete(0, 20)],
            ["Code Editor, edits", "Edit 2 (Delete)", "end is 20", "8 frames"],
        ),
        (
            [{"op": "insert", "at": 0, "start": 0, "end": 13}],
            ["Edit 1 (Insert)", "end is 13", "12 frames"],
        ),
        ([{"op": "reverse"}], ["Code Editor, edits", "Edit 1 (reverse)"]),
    ],
)
def test_an_operation_that_doesnt_fit_is_blamed(fresh, other, edits, words):
    done = fresh.run(edit_graph(edits))
    assert not done.ok and all(word in done.error for word in words), done.error
    assert fresh.run(edit_graph(n9__edits="no json")).error.count("JSON")


def test_what_is_not_connected_is_named(fresh, other):
    assert (
        "vocoder"
        in fresh.run(edit_graph([{"op": "insert_silence", "at": 0, "frames": 2}], vocoder=False)).error
    )
    prompt = edit_graph([{"op": "insert", "at": 0, "start": 0, "end": 2}])
    del prompt["9"]["inputs"]["other"]
    assert "second codes" in fresh.run(prompt).error
    del prompt["9"]["inputs"]["edits"]  # a host without the widget
    assert fresh.run(prompt).ok and fresh.value(9).frames == 10


def test_edits_made_for_another_take_are_not_applied(fresh, other):
    done = fresh.run(edit_graph())
    about = done.outputs["9"]["miso_edits"][0]
    assert about["misfit"] == about["silence"] == "" and len({about["codes"], about["other"]}) == 2
    edits = [{"op": "made_for", "codes": about["codes"]}, delete(3, 7), {"op": "resample_from", "frame": 2}]
    done = fresh.run(edit_graph(edits))
    assert fresh.value(9).frames == 6 and done.outputs["9"]["miso_edits"][0]["misfit"] == ""
    done = fresh.run(edit_graph(edits, n3__seed=4))
    assert done.ok and fresh.value(9).tensor.equal(fresh.value(3).tensor)
    about = done.outputs["9"]["miso_edits"][0]
    assert about["misfit"] == "These edits were made for another take; nothing was applied."
    assert about["codes"] != edits[0]["codes"]
    stamped = [{**edits[0], "codes": about["codes"]}, *edits[1:]]
    assert fresh.run(edit_graph(stamped, n3__seed=4)).ok and fresh.value(9).frames == 6


def test_the_browser_sees_where_an_edit_does_not_fit(fresh, other):
    fresh.server.sockets["test"] = None
    try:
        done = fresh.run(edit_graph([delete(0, 20)]))
    finally:
        del fresh.server.sockets["test"]
    (shown,) = [data for event, data in done.events if event == "miso.misfit"]
    assert not done.ok and shown["node"] == "9" and shown["miso_edits"][0]["misfit"] == ""
    assert [take["frames"] for take in shown["miso_codes"]] == [10, 12]
    json.dumps(shown)


@pytest.fixture
def nano(fresh):
    """Codes of the embedded model, as a file in ComfyUI's input folder."""
    tensor = torch.randint(0, 2048, (1, 8, 5), generator=torch.Generator().manual_seed(2))
    (fresh.base / "input").mkdir(exist_ok=True)
    codec = fresh.module("miso.vocoders.mimi.weights").inspect_mimi(
        fresh.module("miso.checkpoints.find").BUNDLED / "nano-codec.safetensors"
    )
    made = fresh.module("miso.codes").Codes(tensor, [5], codec.codec)
    made.save(fresh.base / "input" / "edit_other.safetensors")
    return made


@pytest.mark.parametrize("vocoder", ["nano-vocoder.safetensors", None])
def test_silence_for_nano_needs_no_codec(fresh, nano, vocoder):
    (codec,) = fresh.module("nodes.memory").on_device(fresh.module("nodes.editing")._embedded(nano.codec))
    silence = fresh.module("miso.vocoders").coded_silence(codec)
    prompt = small_graph(
        "MisoCodeEditor", {"edits": json.dumps([{"op": "insert_silence", "at": 2, "frames": 3}])}
    )
    if vocoder:
        prompt["4"]["inputs"] = {"backend": "auto", "checkpoint": vocoder}
        prompt["9"]["inputs"]["vocoder"] = ["4", 0]
    done = fresh.run(prompt)
    assert done.ok, done.error
    assert fresh.value(9).tensor[..., 2:5].equal(silence.tensor[:, :8, :3])
    assert done.outputs["9"]["miso_edits"][0]["silence"] == ""


def test_why_there_is_no_silence_is_said(fresh, other):
    about = fresh.run(edit_graph(vocoder=False)).outputs["9"]["miso_edits"][0]
    assert about["silence"] == "Silence needs a codec. Connect a codec of 'tiny' to the editor's vocoder."
    why = fresh.module("nodes.editing").why_no_silence
    assert fresh.run(edit_graph()).ok
    vocoder = fresh.value(4)
    assert why(vocoder, other) == ""
    assert why(None, replace(other, codec="nano-2")) == ""  # of the embedded codec
    old = replace(other, codec="nano")
    assert "first edition of nano" in why(None, old) and "silence needs theirs" in why(vocoder, old)
    can_encode, vocoder.loaded.can_encode = vocoder.loaded.can_encode, False
    try:
        assert "only decodes" in why(vocoder, other)
    finally:
        vocoder.loaded.can_encode = can_encode
