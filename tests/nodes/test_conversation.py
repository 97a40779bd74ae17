"""Conversations in ComfyUI: saved, loaded, and gone on with as if they had never stopped."""

import shutil

import pytest
from harness.graphs import SCRIPT, talk


@pytest.fixture
def fresh(fresh):
    """ComfyUI without results or saved conversations."""
    shutil.rmtree(fresh.base / "output" / "conversations", ignore_errors=True)
    return fresh


def test_a_conversation_is_saved_and_goes_on(fresh):
    prompt = talk()
    assert fresh.run(prompt).ok
    whole = fresh.value(3)
    first = talk("\n".join(SCRIPT.splitlines()[:2]))
    first["6"] = {
        "class_type": "MisoSaveConversation",
        "inputs": {"conversation": ["3", 1], "filename_prefix": "conversations/talk"},
    }
    done = fresh.run(first)
    assert done.ok, done.error
    assert (
        "Saved as output/conversations/talk_00001_.safetensors: 2 turns, 0.8 s, Anna, Ben"
        in done.lines("6")[0]
    )
    load = {
        "7": {
            "class_type": "MisoLoadConversation",
            "inputs": {"file": "conversations/talk_00001_.safetensors [output]"},
        }
    }
    options = fresh.nodes.NODE_CLASS_MAPPINGS["MisoLoadConversation"].INPUT_TYPES()["required"]["file"][1][
        "options"
    ]
    assert load["7"]["inputs"]["file"] in options
    codes = fresh.nodes.NODE_CLASS_MAPPINGS["MisoLoadCodes"].INPUT_TYPES()["required"]["file"][1]["options"]
    assert load["7"]["inputs"]["file"] not in codes
    fresh.reset()
    shutil.rmtree(fresh.base / "user" / "miso_store")
    done = fresh.run(talk(SCRIPT.splitlines()[2], conversation=["7", 0]) | load)
    assert done.ok, done.error
    assert fresh.value(3).tensor.equal(
        whole.tensor[..., 15:]
    )  # on the same codes, as if it had never stopped
    assert [s.text for s in fresh.value(3, 1).segments] == ["This is one.", "This is two.", "This is three."]


def test_a_conversation_that_can_not_be_saved_goes_on(fresh, monkeypatch):
    """A full disk, as the engine reports it."""
    error = fresh.module("miso.errors").MisoError("x can't be written: no space left.", "Free some space.")

    def full(*_):
        raise error

    monkeypatch.setattr(fresh.module("miso.text.conversation"), "write_tensors", full)
    prompt = talk()
    prompt["6"] = {
        "class_type": "MisoSaveConversation",
        "inputs": {"conversation": ["3", 1], "filename_prefix": "conversations/full"},
    }
    done = fresh.run(prompt)
    assert done.ok, done.error
    assert done.outputs["6"]["conversations"] == [] and done.lines("6")[0].startswith("Not saved: x can't")
