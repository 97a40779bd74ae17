"""The blocks in ComfyUI: the chain runs, a change runs only what follows it, results are the engine's."""

import json

import pytest
from harness.graphs import graph
from safetensors import safe_open


@pytest.mark.host
def test_chain(fresh):
    done = fresh.run(graph())
    assert done.ok, done.error
    codes = fresh.value(3)
    assert codes.tensor.shape == (2, 8, 10) and [t.stop for t in codes.takes] == ["limit", "limit"]
    audio = fresh.value(5)
    assert audio["waveform"].shape == (2, 1, 10 * 1920) and audio["sample_rate"] == 24000
    assert audio["waveform"].abs().max() > 0.01
    steps = [d for e, d in done.events if e == "progress" and d["max"] == 10]
    assert [s["value"] for s in steps] == [
        *range(11),
        10,
    ]  # the sampler's frames, then the vocoder's one chunk


def test_same_seed_same_codes(fresh):
    assert fresh.run(graph()).ok
    first = fresh.value(3).tensor
    fresh.reset()
    assert fresh.run(graph(n3__takes=1)).ok
    assert fresh.value(3).tensor.equal(first[:1])


def test_only_what_follows_a_change_runs_again(fresh):
    assert fresh.run(graph()).ok
    assert set(fresh.run(graph(n4__backend="moshi")).ran) == {"4", "5", "6"}
    assert set(fresh.run(graph(n4__backend="moshi", n3__seed=4)).ran) == {"3", "5", "6", "7"}
    assert set(fresh.run(graph(n4__backend="moshi", n3__seed=4, n7__filename_prefix="codes/other")).ran) == {
        "7"
    }


def test_saved_codes_carry_the_workflow_and_load_again(fresh):
    prompt = graph()
    done = fresh.run(prompt)
    entry = done.outputs["7"]["codes"][0]
    path = fresh.base / "output" / entry["subfolder"] / entry["filename"]
    with safe_open(path, "pt") as file:
        saved = json.loads(file.metadata()["prompt"])
    for node in saved.values():
        node.pop("is_changed", None)  # ComfyUI's own note
    assert saved == prompt
    made = fresh.value(3)
    loaded = {
        "1": {"class_type": "MisoLoadCodes", "inputs": {"file": f"codes/{entry['filename']} [output]"}},
        "2": {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["1", 0]}},
    }
    done = fresh.run(loaded)
    assert done.ok, done.error
    assert fresh.value(1).tensor.equal(made.tensor) and fresh.value(1).takes == made.takes
    image = fresh.value(2)
    assert image.shape[0] == 2 and image.shape[3] == 3 and image.std() > 0.1
    assert len(done.outputs["2"]["images"]) == 2


def test_voice_prompt_history_and_depth_settings(fresh):
    prompt = graph(n3__conditioning=["11", 0], n3__depth=["12", 0], n3__takes=1)
    prompt |= {
        "10": {
            "class_type": "MisoBackboneSampler",
            "inputs": {**prompt["3"]["inputs"], "conditioning": ["2", 0], "depth": ["1", 1], "seed": 9},
        },
        "13": {
            "class_type": "MisoEncodeText",
            "inputs": {
                "text_encoder": ["1", 2],
                "text": "And then?",
                "speaker": 1,
                "history": ["2", 0],
                "history_codes": ["10", 0],
            },
        },
        "14": {
            "class_type": "MisoEncodeAudio",
            "inputs": {"audio": ["15", 0], "vocoder": ["4", 0], "transcript": "Hello there.", "speaker": 1},
        },
        "15": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["10", 0], "vocoder": ["4", 0]}},
        "11": {
            "class_type": "MisoVoicePrompt",
            "inputs": {"conditioning": ["13", 0], "codes": ["14", 0], "transcript": "", "speaker": 1},
        },
        "12": {
            "class_type": "MisoDepthDecoder",
            "inputs": {"depth": ["1", 1], "temperature": 0.5, "top_k": 5, "codebooks": 8},
        },
    }
    done = fresh.run(prompt)
    assert done.ok, done.error
    voice, said, line = fresh.value(11).segments
    assert (voice.voice, voice.text, voice.codes.frames) == (True, "Hello there.", 10)
    assert (said.voice, said.text, said.speaker) == (False, "Hello there.", 0) and said.codes.tensor.equal(
        fresh.value(10).tensor
    )
    assert (line.text, line.codes) == ("And then?", None)
    assert fresh.value(3).source["depth_sampling"] == {"temperature": 0.5, "top_k": 5}


def test_redecode_gives_the_runs_own_codes_and_needs_no_backbone(fresh):
    prompt = graph()
    prompt["8"] = {
        "class_type": "MisoDepthRedecode",
        "inputs": {
            "depth": ["1", 1],
            "hidden": ["3", 1],
            "codes": ["3", 0],
            "seed": 3,
            "keep": 1,
            "temperature": 0.9,
            "top_k": 50,
        },
    }
    prompt["9"] = {
        "class_type": "MisoSaveCodes",
        "inputs": {"codes": ["8", 0], "filename_prefix": "codes/again"},
    }
    assert fresh.run(prompt).ok
    assert fresh.value(8).tensor.equal(fresh.value(3).tensor)
    prompt["8"]["inputs"]["seed"] = 77
    assert set(fresh.run(prompt).ran) == {"8", "9"}
    assert fresh.value(8).tensor[:, 0].equal(fresh.value(3).tensor[:, 0])
    assert not fresh.value(8).tensor.equal(fresh.value(3).tensor)


def test_editing_blocks(fresh):
    prompt = graph()
    prompt |= {
        "8": {"class_type": "MisoPickTake", "inputs": {"codes": ["3", 0], "take": 1}},
        "9": {"class_type": "MisoTrimCodes", "inputs": {"codes": ["8", 0], "start": 2, "frames": 3}},
        "10": {"class_type": "MisoSpliceCodes", "inputs": {"codes": ["8", 0], "other": ["9", 0], "at": 4}},
        "11": {"class_type": "MisoKeepCodebooks", "inputs": {"codes": ["10", 0], "count": 2}},
        "12": {
            "class_type": "MisoSaveCodes",
            "inputs": {"codes": ["11", 0], "filename_prefix": "codes/edited"},
        },
    }
    done = fresh.run(prompt)
    assert done.ok, done.error
    take, edited = fresh.value(3).tensor[1], fresh.value(11).tensor[0]
    assert (
        edited.shape == (2, 13)
        and edited[:, 4:7].equal(take[:2, 2:5])
        and edited[:, :4].equal(take[:2, :4])
        and edited[:, 7:].equal(take[:2, 4:])
    )


def stopped(comfy, prompt: dict):
    """The run of a prompt that is interrupted at the sampler's fourth frame."""

    def stop(value, total):
        if total == 10 and value == 4:
            comfy.model_management.interrupt_current_processing()

    comfy.on_progress = stop
    try:
        return comfy.run(prompt)
    finally:
        comfy.on_progress = lambda value, total: None


def test_stop_ends_the_run_within_a_frame(fresh):
    """In a chain of lines too: nothing after the sampler runs, and nothing is saved."""
    prompt = graph()
    prompt["13"] = {
        "class_type": "MisoBackboneSampler",
        "inputs": {**prompt["3"]["inputs"], "prefix": ["3", 0]},
    }
    prompt["5"]["inputs"]["codes"] = prompt["7"]["inputs"]["codes"] = ["13", 0]
    prompt["3"]["inputs"]["takes"] = 1
    done = stopped(fresh, prompt)
    assert done.end == "execution_interrupted" and not {"13", "5", "6", "7"} & set(done.ran)
    again = fresh.run(graph())
    assert again.ok and fresh.value(3).frames == 10


def test_stop_can_pass_on_what_was_made(fresh):
    done = stopped(fresh, graph(n3__use_partial=True))
    assert done.ok, done.error
    codes = fresh.value(3)
    assert 4 <= codes.frames <= 5 and {t.stop for t in codes.takes} == {"interrupted"}
    assert fresh.value(5)["waveform"].shape[-1] == codes.frames * 1920
    again = fresh.run(graph(n3__use_partial=True))  # what was interrupted is sampled again
    assert again.ok and "3" in again.ran and fresh.value(3).frames == 10


@pytest.mark.parametrize(
    "change, words",
    [
        ({"n2__text": "   "}, ["Encode Text, text", "empty"]),
        ({"n2__text": "word " * 500}, ["Backbone Sampler: Text too long: about", "words fit. Split it"]),
        ({"n1__checkpoint": "gone.safetensors"}, ["Load Miso Model, checkpoint", "gone.safetensors"]),
        ({"n1__checkpoint": "../../../etc/passwd"}, ["Load Miso Model, checkpoint"]),
        ({"n1__checkpoint": "tiny-codec.safetensors"}, ["Load Miso Model", "tiny-codec.safetensors"]),
        ({"n4__backend": "wavenet"}, ["Load Vocoder", "wavenet", "mimi"]),
        (
            {"n3__temperature": 5.0, "n3__top_k": 0, "n3__max_seconds": 163.0},
            ["Backbone Sampler, max_seconds"],
        ),
    ],
)
def test_bad_input_is_explained(fresh, change, words):
    done = fresh.run(graph(**change))
    assert not done.ok
    assert all(word in done.error for word in words), done.error


def test_a_place_outside_the_output_folder_is_refused_and_costs_nothing(fresh):
    done = fresh.run(graph(n7__filename_prefix="../outside"))
    assert done.ok and {"5", "6"} <= set(done.ran)
    assert done.lines("7") == ["Not saved: the output folder can't have a file '../outside'."]
    assert not list(fresh.base.glob("outside*"))


def test_codes_of_another_codec_are_refused(fresh):
    codes = fresh.module("miso.codes")
    import torch

    other = codes.Codes(torch.zeros(1, 8, 5, dtype=torch.int64), [5], "mimi-e351c8d8", codebook_size=64)
    other.save(fresh.base / "input" / "other.safetensors")
    prompt = graph(n5__codes=["8", 0])
    prompt["8"] = {"class_type": "MisoLoadCodes", "inputs": {"file": "other.safetensors"}}
    done = fresh.run(prompt)
    assert not done.ok and all(w in done.error for w in ("Vocoder Decode", "mimi-e351c8d8", "tiny")), (
        done.error
    )
    prompt["8"]["inputs"]["file"] = "../models/miso/tiny.safetensors"
    assert "outside" in fresh.run(prompt).error


def test_folders_of_extra_model_paths_count(fresh, tmp_path):
    """What ``extra_model_paths.yaml`` does: one more folder under the pack's name."""
    from shutil import copy

    import folder_paths

    copy(fresh.base / "models" / "miso" / "tiny.safetensors", tmp_path / "elsewhere.safetensors")
    folder_paths.add_model_folder_path("miso", str(tmp_path))
    assert (
        "elsewhere.safetensors"
        in fresh.nodes.NODE_CLASS_MAPPINGS["MisoLoadModel"].INPUT_TYPES()["required"]["checkpoint"][1][
            "options"
        ]
    )
    done = fresh.run(graph(n1__checkpoint="elsewhere.safetensors"))
    assert done.ok, done.error
