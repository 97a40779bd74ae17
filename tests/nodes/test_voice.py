"""Voices and history from codes in the graph: what the codes say is known, or asked for."""

import pytest
from harness.graphs import graph


def prompt(kind: str, transcript: str = "", edit: tuple = ("MisoTrimCodes", {"start": 0, "frames": 6})):
    """Sampled codes (3) -> edit (8) -> voice or segment (9) of another line (10) -> sampler (11) -> save."""
    nodes = graph(n3__takes=1)
    text = {**nodes["2"]["inputs"], "text": "Another line."}
    nodes["8"] = {"class_type": edit[0], "inputs": {"codes": ["3", 0], **edit[1]}}
    nodes["10"] = {"class_type": "MisoEncodeText", "inputs": text}
    segment = {"conditioning": ["10", 0], "codes": ["8", 0], "transcript": transcript, "speaker": 0}
    nodes["9"] = {"class_type": kind, "inputs": segment}
    nodes["11"] = {**nodes["3"], "inputs": {**nodes["3"]["inputs"], "conditioning": ["9", 0]}}
    nodes["7"]["inputs"]["codes"] = ["11", 0]
    return nodes


@pytest.mark.parametrize("kind", ["MisoVoicePrompt", "MisoAddSegment"])
def test_the_text_of_cut_codes_is_asked_for(fresh, kind):
    done = fresh.run(prompt(kind))
    name = "Voice Prompt" if kind == "MisoVoicePrompt" else "Add Segment"
    assert not done.ok and done.error.startswith(
        f"{name}, transcript: The text of these codes is no longer exact, because they were edited. "
        "Type exactly what they say now."
    ), done.error
    done = fresh.run(prompt(kind, "Hello."))
    assert done.ok, done.error
    assert fresh.value(9).segments[0].text == "Hello."


def test_a_transcript_of_nothing_is_refused(fresh):
    done = fresh.run(prompt("MisoVoicePrompt", "..."))
    assert done.error.startswith("Voice Prompt, transcript: There is nothing to be said in '...'"), done.error


def test_the_text_of_whole_codes_is_used(fresh):
    done = fresh.run(prompt("MisoVoicePrompt", edit=("MisoKeepCodebooks", {"count": 4})))
    assert done.ok, done.error
    assert fresh.value(9).segments[0].text == "Hello there."


def test_edited_history_is_said_on_the_node(fresh):
    nodes = prompt("MisoVoicePrompt", "Hello.")
    nodes["10"]["inputs"] |= {"history": ["2", 0], "history_codes": ["8", 0]}
    done = fresh.run(nodes)
    assert done.ok, done.error
    assert any("history_codes were edited" in line for line in done.lines("10"))
