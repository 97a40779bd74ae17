"""Batch Lines in ComfyUI: a file for each line, what a change samples again, stopping, errors."""

import shutil

import pytest
from harness.graphs import turns_graph

SCRIPT = "Anna: This is one.\nBen: This is two.\n# a comment\nAnna: This is three.\nBen: This is two."


def batch(script: str = SCRIPT, **inputs) -> dict:
    """Model 1, codec 2, lines 3, decode 4, save 5."""
    lines = {"script": script, "slots": 2, "folder": "lines", **inputs}
    return turns_graph("MisoBatchLines", ["3", 1], **lines)


@pytest.fixture
def sampled(fresh, monkeypatch):
    """The texts of the lines that were begun."""
    texts: list[str] = []
    loop = fresh.module("miso.generation.batch").BatchLoop
    begin = loop._begin

    def counted(self, number, state):
        texts.append(self.lines[number].conditioning.line.text)
        return begin(self, number, state)

    monkeypatch.setattr(loop, "_begin", counted)
    return texts


def test_a_file_for_each_line(fresh):
    done = fresh.run(batch())
    assert done.ok, done.error
    said = fresh.values(3)
    assert [codes.takes[0].text for codes in said] == [
        "This is one.",
        "This is two.",
        "This is three.",
        "This is two.",
    ]
    assert [codes.takes[0].spans[0].speaker for codes in said] == [0, 1, 0, 1]
    assert all(codes.tensor.shape == (1, 8, 5) for codes in said)
    assert not said[1].tensor.equal(said[3].tensor)  # said twice, and not in the same way
    names = ["0001-this-is-one", "0002-this-is-two", "0003-this-is-three", "0004-this-is-two"]
    files = [file["filename"] for file in done.outputs["5"]["audio"]]
    ending = files[0].removeprefix(names[0])  # ComfyUI's own: _00001_.flac, without the last _ since 0.33
    assert files == [f"{name}{ending}" for name in names]
    assert all((fresh.base / "output" / "lines" / file).is_file() for file in files)
    (line,) = done.lines("3")
    assert "4 lines, 1.6 s: 4 sampled, 0 kept. Anna: speaker 0, Ben: speaker 1." in line
    assert "Cut at the time limit: lines 1, 2, 4, 5. Raise max_seconds." in line
    told = done.outputs["3"]["miso_lines"]
    assert [(t["speaker"], t["seconds"], t["stop"], t["kept"]) for t in told] == [
        (speaker, 0.4, "limit", False) for speaker in (0, 1, 0, 1)
    ]
    steps = [data["value"] for event, data in done.events if event == "progress" and data["max"] == 20]
    assert steps == sorted(steps) and len(steps) > 9 and steps[-1] == 20


def test_a_change_samples_the_changed_line_alone(fresh, sampled):
    assert fresh.run(batch()).ok and len(sampled) == 4
    first = fresh.values(3)
    sampled.clear()
    done = fresh.run(batch("Anna: A beginning.\n" + SCRIPT.replace("three", "the end")))
    assert done.ok and sorted(sampled) == ["A beginning.", "This is the end."], done.error
    assert "2 sampled, 3 kept" in done.lines("3")[0]
    second = fresh.values(3)
    assert [second[i].digest() for i in (1, 2, 4)] == [first[i].digest() for i in (0, 1, 3)]


def test_slots_and_a_restart_change_nothing(fresh, sampled):
    assert fresh.run(batch()).ok
    first = [codes.tensor for codes in fresh.values(3)]
    fresh.reset()
    sampled.clear()
    assert fresh.run(batch(slots=1)).ok and sampled == []
    shutil.rmtree(fresh.base / "user" / "miso_store")
    fresh.reset()
    assert fresh.run(batch(slots=1)).ok and len(sampled) == 4
    assert all(codes.tensor.equal(before) for codes, before in zip(fresh.values(3), first))


def test_a_stopped_run_keeps_the_lines_that_had_ended(fresh, sampled):
    def stop(value, total):
        if len(sampled) == 3:
            fresh.model_management.interrupt_current_processing()

    fresh.on_progress = stop
    stopped = fresh.run(batch(slots=1))
    fresh.on_progress = lambda value, total: None
    assert stopped.end == "execution_interrupted"
    sampled.clear()
    resumed = fresh.run(batch(slots=1))
    assert resumed.ok and len(sampled) == 2, resumed.error
    assert "2 sampled, 2 kept" in resumed.lines("3")[0]


@pytest.mark.parametrize(
    "script, words",
    [
        ("Anna: Hi. [pause 1]\nBen: Ho.", "Batch Lines, script: Line 1: each line is alone"),
        ("Anna: Hi.\nBen:", "Batch Lines, script: Line 2: a name with nothing to say"),
        ("Hi.\n\U0001f600", "Batch Lines, script: Line 2: There is nothing to be said"),
        ("# nothing", "Write a script"),
    ],
)
def test_errors_name_the_line(fresh, script, words):
    assert words in fresh.run(batch(script)).error
