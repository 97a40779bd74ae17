"""Dialogue, Long Text and voices in ComfyUI: what a change runs again, and what is kept."""

import json
import shutil

import pytest
import torch
from harness.graphs import SCRIPT, talk

from miso.model.config import PRESETS


def long(text: str, **inputs) -> dict:
    prompt = talk(**{"text": text, "speaker": 1, "pauses": 1.0, **inputs})
    prompt["3"]["class_type"] = "MisoLongText"
    del prompt["3"]["inputs"]["script"]
    return prompt


@pytest.fixture
def fresh(fresh):
    """ComfyUI without results or saved voices."""
    shutil.rmtree(fresh.base / "models" / "miso_voices", ignore_errors=True)
    return fresh


@pytest.fixture
def sampled(fresh, monkeypatch):
    """How many frames each run of the frame loop has sampled."""
    loop = fresh.module("miso.generation.loop").FrameLoop
    frames: list[int] = []
    receive, init = loop.receive, loop.__init__

    def counted_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        frames.append(0)

    def counted(self, frame):
        frames[-1] += 1
        return receive(self, frame)

    monkeypatch.setattr(loop, "__init__", counted_init)
    monkeypatch.setattr(loop, "receive", counted)
    return frames


def turns(done) -> list[dict]:
    return list(done.outputs["3"]["miso_turns"])


def test_a_dialogue_of_two_speakers_in_five_blocks(fresh):
    done = fresh.run(talk())
    assert done.ok, done.error
    codes = fresh.value(3)
    assert codes.tensor.shape == (1, 8, 20) and fresh.value(4)["waveform"].shape == (1, 1, 20 * 1920)
    spans = codes.takes[0].spans
    assert [(s.start, s.end, s.text, s.speaker) for s in spans] == [
        (0, 5, "This is one.", 0),
        (5, 10, "This is two.", 1),
        (15, 20, "This is three.", 0),
    ]
    assert [(t["name"], t["start"], t["end"], t["stop"], t["kept"]) for t in turns(done)] == [
        ("Anna", 0.0, 0.4, "limit", False),
        ("Ben", 0.4, 0.8, "limit", False),
        ("Anna", 1.2, 1.6, "limit", False),
    ]
    assert fresh.value(3, 2) == (
        "1\n00:00:00,000 --> 00:00:00,400\nAnna: This is one.\n\n"
        "2\n00:00:00,400 --> 00:00:00,800\nBen: This is two.\n\n"
        "3\n00:00:01,200 --> 00:00:01,600\nAnna: This is three.\n"
    )
    (line,) = done.lines("3")
    assert "3 turns, 1.6 s" in line and "Anna: speaker 0, Ben: speaker 1" in line
    assert "Cut at the time limit: turns 1, 2, 3. Raise max_seconds" in line
    steps = [data for event, data in done.events if event == "progress"]
    total = max(step["max"] for step in steps)
    assert [s["value"] for s in steps if s["max"] == total] == sorted(
        s["value"] for s in steps if s["max"] == total
    )


def test_a_change_samples_only_what_it_must(fresh, sampled):
    assert fresh.run(talk()).ok and sampled == [5, 5, 5]
    first = fresh.value(3)
    changed = SCRIPT.replace("two", "quite another")
    done = fresh.run(talk(changed))
    assert done.ok and sampled == [5, 5, 5, 5, 5], done.error
    assert set(done.ran) == {"3", "4", "5"} and [t["kept"] for t in turns(done)] == [True, False, False]
    second = fresh.value(3)
    assert second.tensor[..., :5].equal(first.tensor[..., :5])
    assert not second.tensor[..., 15:].equal(first.tensor[..., 15:])  # it has heard another turn
    del sampled[:]
    assert fresh.run(talk()).ok and sampled == []  # back again
    assert fresh.value(3).digest() == first.digest()
    done = fresh.run(talk(SCRIPT.replace("two", "a third"), only_changed=True))
    assert sampled == [5] and [t["kept"] for t in turns(done)] == [True, False, True], done.error
    assert fresh.value(3).tensor[..., 15:].equal(first.tensor[..., 15:])


def chosen(turn: dict, **choice) -> str:
    """The panel's widget after a choice about one turn."""
    return json.dumps([{**{name: turn[name] for name in ("text", "speaker", "nth")}, **choice}])


def test_another_attempt_at_one_turn_samples_it_and_what_follows(fresh, sampled):
    first = fresh.run(talk())
    assert [(t["nth"], t["attempt"], t["locked"]) for t in turns(first)] == [(0, 0, False)] * 3
    assert first.outputs["3"]["miso_seed"] == [3]
    again = chosen(turns(first)[1], attempt=1)
    del sampled[:]
    done = fresh.run(talk(choices=again))
    assert done.ok and sampled == [5, 5] and set(done.ran) == {"3", "4", "5"}, done.error
    assert [(t["kept"], t["attempt"]) for t in turns(done)] == [(True, 0), (False, 1), (False, 0)]
    assert turns(done)[1]["seed"] != turns(first)[1]["seed"]

    del sampled[:]
    assert fresh.run(talk(choices=chosen(turns(first)[1], attempt=2), only_changed=True)).ok
    assert sampled == [5]


def test_a_locked_turn_keeps_its_codes_bit_for_bit(fresh, sampled):
    first = fresh.run(talk())
    codes = fresh.value(3).tensor[..., 15:]
    third = chosen(turns(first)[2], locked=turns(first)[2]["codes"])
    del sampled[:]
    done = fresh.run(talk(SCRIPT.replace("one", "quite another"), choices=third))
    assert done.ok and sampled == [5, 5] and [t["kept"] for t in turns(done)] == [False, False, True]
    assert fresh.value(3).tensor[..., 15:].equal(codes) and turns(done)[2]["locked"]
    done = fresh.run(talk(choices=third, seed=4))  # whatever the seed is
    assert done.ok and fresh.value(3).tensor[..., 15:].equal(codes)
    assert "Not as it was locked" not in done.lines("3")[0]
    gone = fresh.run(talk(choices=chosen(turns(first)[2], locked="0" * 64), seed=5))
    assert gone.ok and "Not as it was locked: turn 3, because" in gone.lines("3")[0]
    assert (
        "Dialogue, choices: Choice 1: locked"
        in fresh.run(talk(choices=chosen(turns(first)[2], locked="x"))).error
    )


def test_two_runs_are_identical(fresh):
    assert fresh.run(talk()).ok
    first = fresh.value(3), fresh.value(4)["waveform"]
    fresh.reset()
    shutil.rmtree(fresh.base / "user" / "miso_store")
    assert fresh.run(talk()).ok
    assert fresh.value(3).digest() == first[0].digest() and fresh.value(4)["waveform"].equal(first[1])


def test_a_stopped_run_goes_on_where_it_was(fresh, sampled):
    text = " ".join(["This is a sentence that takes some seconds to say aloud."] * 18)
    prompt = long(text)

    def stop(value, total):
        if len(sampled) == 2 and sampled[-1] == 3:
            fresh.model_management.interrupt_current_processing()

    fresh.on_progress = stop
    stopped = fresh.run(prompt)
    fresh.on_progress = lambda value, total: None
    assert stopped.end == "execution_interrupted" and sampled[0] == 5
    del sampled[:]
    resumed = fresh.run(prompt)
    assert resumed.ok, resumed.error
    parts = turns(resumed)
    assert [part["kept"] for part in parts] == [True] + [False] * (len(parts) - 1)
    assert len(sampled) == len(parts) - 1 and len(parts) > 2
    assert {part["speaker"] for part in parts} == {1}


def test_pauses_of_a_long_text(fresh):
    text = "One two.\n\nThree four."
    done = fresh.run(long(text))
    assert done.ok, done.error
    assert fresh.value(3).frames == 5 + round(0.6 * 12.5) + 5
    assert fresh.run(long(text, pauses=0.0)).ok and fresh.value(3).frames == 10
    prompt = long(text)
    del prompt["3"]["inputs"]["preview"]
    done = fresh.run(prompt)
    assert done.ok and fresh.value(3).frames == 10  # nothing here makes silence of the tiny codec
    assert "Without pauses: connect a codec" in done.lines("3")[0]


def test_voices_are_saved_loaded_and_cast(fresh, sampled):
    prompt = talk("Anna: This is one.")
    prompt["6"] = {
        "class_type": "MisoSaveVoice",
        "inputs": {"codes": ["3", 0], "name": "Eve", "transcript": "", "speaker": -1, "replace": False},
    }
    done = fresh.run(prompt)
    assert done.ok, done.error
    assert "Saved as miso_voices/Eve.safetensors, 0.4 s" in done.lines("6")[0]
    (voice,) = fresh.value(6)
    assert (voice.name, voice.text, voice.speaker) == ("Eve", "This is one.", 0)
    load = {
        "7": {"class_type": "MisoLoadVoice", "inputs": {"voice": "Eve", "name": ""}},
        "8": {
            "class_type": "MisoLoadVoice",
            "inputs": {"voice": "Eve", "name": "Ben", "voices": ["7", 0]},
        },
    }
    options = fresh.nodes.NODE_CLASS_MAPPINGS["MisoLoadVoice"].INPUT_TYPES()["required"]["voice"][1][
        "options"
    ]
    assert "Eve" in options
    without = fresh.run(talk())
    plain = fresh.value(3)
    done = fresh.run(talk(voices=["8", 0]) | load)
    assert without.ok and done.ok, done.error
    assert "Anna: speaker 0 (voice Eve), Ben: speaker 1 (voice Ben)" in done.lines("3")[0]
    assert "did you mean" not in done.lines("3")[0]
    done = fresh.run(talk("Eve: This is one.\nEvee: This is two.", voices=["7", 0]) | load)
    assert "speaker 1. Evee is not a voice; did you mean Eve? Cut at" in done.lines("3")[0]
    assert fresh.run(talk(voices=["8", 0]) | load).ok
    assert not fresh.value(3).tensor.equal(plain.tensor)
    segments = fresh.value(3, 1).segments
    assert [(s.voice, s.speaker) for s in segments[:2]] == [(True, 0), (True, 1)] and len(segments) == 5
    # another voice of that name isn't overwritten, the same one is no matter
    assert fresh.run(prompt | {}).ok
    prompt["3"]["inputs"]["seed"] = 4
    assert "There is another voice 'Eve'" in fresh.run(prompt).error
    prompt["6"]["inputs"]["replace"] = True
    assert fresh.run(prompt).ok
    prompt["6"]["inputs"]["name"] = "../Eve"
    assert "can't be the name of a file" in fresh.run(prompt).error
    gone = fresh.run(
        talk(voices=["7", 0]) | {"7": {"class_type": "MisoLoadVoice", "inputs": {"voice": "No", "name": ""}}}
    )
    assert "Voice missing: put 'No.safetensors' into" in gone.error


def test_the_embedded_voices_are_there(fresh):
    voices = PRESETS["nano"].voices
    names = [voice.partition("_")[2] for voice in voices]
    offered = fresh.nodes.NODE_CLASS_MAPPINGS["MisoLoadVoice"].INPUT_TYPES()["required"]["voice"]
    assert set(names) <= set(offered[1]["options"] if offered[0] == "COMBO" else offered[0])
    for i, name in list(enumerate(names))[::9]:
        done = fresh.run(
            {
                "1": {"class_type": "MisoLoadVoice", "inputs": {"voice": name, "name": ""}},
                "2": {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["1", 1]}},
            }
        )
        assert done.ok, done.error
        ((voice,),) = [fresh.value(1)]
        assert (voice.name, voice.speaker, voice.codes.codec) == (name, i, "nano-2") and voice.text


def test_speaker_tracks_are_aligned_and_make_up_the_whole(fresh):
    prompt = talk()
    prompt["6"] = {"class_type": "MisoSpeakerTracks", "inputs": {"codes": ["3", 0], "vocoder": ["2", 0]}}
    prompt["7"] = {"class_type": "SaveAudio", "inputs": {"audio": ["6", 0], "filename_prefix": "tracks"}}
    done = fresh.run(prompt)
    assert done.ok, done.error
    anna, ben = (track["waveform"] for track in fresh.values(6))
    whole = fresh.value(4)["waveform"]
    assert anna.shape == ben.shape == whole.shape and torch.allclose(anna + ben, whole, atol=1e-6)
    frame = 1920
    assert anna[..., 6 * frame : 14 * frame].eq(0).all() and ben[..., : 4 * frame].eq(0).all()
    assert ben[..., 6 * frame : 9 * frame].abs().max() > 0 and len(done.outputs["7"]["audio"]) == 2


@pytest.mark.parametrize(
    "script, words",
    [
        ("Anna: Hi.\n[pause long]", "Dialogue, script: Line 2: '[pause long]'"),
        ("Anna: Hi.\nBen:", "Dialogue, script: Line 2: a name with nothing to say"),
        ("# nothing", "Write a script"),
        ("Anna: Hi.\nBen: \u2028", "Line 2"),
        ("Anna: Hi.\nBen: \U0001f600", "Dialogue, script: Line 2: There is nothing to be said"),
    ],
)
def test_errors_name_the_line(fresh, script, words):
    assert words in fresh.run(talk(script)).error
