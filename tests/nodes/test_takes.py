"""Takes that are picked in the graph: their numbers as people count, and their hidden states."""

import pytest
from harness.graphs import graph


@pytest.mark.parametrize(
    "kind, picks", [("MisoTakePicker", {"chosen": "1,2"}), ("MisoPickTake", {"take": -1})]
)
def test_redecode_works_after_a_pick(fresh, kind, picks):
    """Takes of different length: what is picked is cut, and its hidden states with it."""
    prompt = graph(n3__takes=3)
    prompt["8"] = {"class_type": kind, "inputs": {"codes": ["3", 0], "hidden": ["3", 1], **picks}}
    depth = {"temperature": 0.9, "top_k": 50, "seed": 4 if "chosen" in picks else 5, "keep": 1}
    inputs = {"depth": ["1", 1], "hidden": ["8", 1], "codes": ["8", 0], **depth}
    prompt["9"] = {"class_type": "MisoDepthRedecode", "inputs": inputs}
    prompt["7"]["inputs"]["codes"] = ["9", 0]
    done = fresh.run(prompt)
    assert done.ok, done.error
    picked, hidden = fresh.value(8), fresh.value(8, 1)
    assert fresh.value(9).tensor.equal(picked.tensor) and hidden.lengths.equal(picked.lengths)
    del prompt["8"]["inputs"]["hidden"]  # then there is nothing to redecode: those blocks are skipped
    prompt["10"] = {**prompt["7"], "inputs": {**prompt["7"]["inputs"], "codes": ["8", 0]}}
    done = fresh.run(prompt)
    assert done.ok and "10" in done.ran and "9" not in done.outputs and "7" not in done.outputs


def test_hidden_states_of_another_run_are_refused(fresh):
    prompt = graph()
    prompt["8"] = {"class_type": "MisoTrimCodes", "inputs": {"codes": ["3", 0], "start": 0, "frames": 4}}
    prompt["9"] = {
        "class_type": "MisoPickTake",
        "inputs": {"codes": ["8", 0], "take": 0, "hidden": ["3", 1]},
    }
    prompt["7"]["inputs"]["codes"] = ["9", 0]
    error = fresh.run(prompt).error
    assert "Pick Take, hidden: These codes were edited" in error, error
    assert "Connect codes and hidden of one run." in error and "2 takes of 10 and 10 frames" in error


def test_takes_are_counted_from_1(fresh):
    prompt = graph()
    prompt["8"] = {"class_type": "MisoPickTake", "inputs": {"codes": ["3", 0], "take": 1}}
    prompt["7"]["inputs"]["codes"] = ["8", 0]
    done = fresh.run(prompt)
    assert done.ok and done.lines("8") == ["Take 2 of 2"]
    prompt["8"]["inputs"]["take"] = 5
    assert "Pick Take, take: There is no take 6; there are 2. Choose 0 to 1" in fresh.run(prompt).error
    prompt["8"] = {"class_type": "MisoTakePicker", "inputs": {"codes": ["3", 0], "chosen": "5"}}
    assert "Take Picker, chosen: There is no take 6; there are 2." in fresh.run(prompt).error


def test_the_best_take_is_picked_with_its_hidden_states(fresh):
    prompt = graph(n3__takes=3)
    inputs = {"codes": ["3", 0], "hidden": ["3", 1], "rank": 1}
    prompt["8"] = {"class_type": "MisoBestTake", "inputs": inputs}
    prompt["7"]["inputs"]["codes"] = ["8", 0]
    done = fresh.run(prompt)
    assert done.ok, done.error
    takes = fresh.value(3).takes
    best = max(range(3), key=lambda i: takes[i].log_probability)
    assert fresh.value(8).takes[0] == takes[best] and fresh.value(8, 1).tensor.shape[0] == 1
    assert fresh.value(8, 2).splitlines()[0].startswith(f"1. Take {best + 1}: ")
    prompt["8"]["inputs"]["rank"] = 4
    assert "rank is 4; the codes have 3 takes" in fresh.run(prompt).error


def test_a_hundred_thousand_picks_are_refused_at_once(fresh):
    prompt = graph()
    prompt["8"] = {"class_type": "MisoTakePicker", "inputs": {"codes": ["3", 0], "chosen": "0," * 100_000}}
    prompt["7"]["inputs"]["codes"] = ["8", 0]
    assert "Choose at most 1024 takes" in fresh.run(prompt).error
