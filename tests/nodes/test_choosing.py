"""Best Take and Best of N in ComfyUI, with nano to listen to."""

from harness.graphs import CLEAR, graph, heard_graph

from miso.audio.word_errors import words


def best_take(recogniser: str, **inputs) -> dict:
    """Two takes of nano, of which a recogniser hears the better (8)."""
    prompt = heard_graph(recogniser, n3__takes=2, n5__codes=["8", 0])
    del prompt["21"]
    inputs = {"codes": ["3", 0], "rank": 1, "recogniser": ["20", 0], **inputs}
    prompt["8"] = {"class_type": "MisoBestTake", "inputs": inputs}
    prompt["6"] = graph()["6"]
    return prompt


def best_of(recogniser: str, **inputs) -> dict:
    """Takes of nano in passes, until a recogniser understands one (3)."""
    prompt = heard_graph(recogniser)
    settings = {"takes": 2, "most_takes": 3, "wrong_words": 0.0, "recogniser": ["20", 0], "vocoder": ["4", 0]}
    prompt["3"] = {"class_type": "MisoBestOfN", "inputs": {**prompt["3"]["inputs"], **settings, **inputs}}
    return prompt


def test_the_take_that_is_understood_is_the_best(fresh, recogniser):
    done = fresh.run(best_take(recogniser))
    assert done.ok, done.error
    first, second = fresh.value(8, 2).splitlines()
    assert "0 % of the words wrong, likelihood" in first
    assert words(first.rpartition(": ")[2]) == words(CLEAR)
    assert done.lines("8") == [first.rpartition(": ")[0].removeprefix("1. ").replace(":", " of 2:", 1)]
    done = fresh.run(best_take(recogniser, text="Nobody said anything about it."))
    assert "3" not in done.ran and "100 % of the words wrong" in done.lines("8")[0]


def test_codes_of_other_models_need_a_vocoder_to_be_heard(fresh, recogniser):
    prompt = best_take(recogniser)
    prompt |= {node: graph()[node] for node in "1234"}
    assert "Best Take, vocoder: Connect a vocoder" in fresh.run(prompt).error


def test_it_stops_at_the_first_pass_with_a_good_take(fresh, recogniser):
    done = fresh.run(best_of(recogniser))
    assert done.ok, done.error
    assert words(fresh.value(21)) == words(CLEAR)
    assert len(fresh.value(3, 2).splitlines()) == 2 and "Take " in done.lines("3")[-1]
    codes, hidden = fresh.value(3), fresh.value(3, 1)
    assert codes.batch == 1 and hidden.tensor.shape[:2] == (1, codes.frames)


def test_it_gives_up_after_the_most_takes_and_knows_them_again(fresh, recogniser):
    prompt = best_of(recogniser, max_seconds=0.8)  # no take ends by itself
    done = fresh.run(prompt)
    assert done.ok, done.error
    assert len(fresh.value(3, 2).splitlines()) == 3 and "None is good enough" in done.lines("3")[-1]
    assert done.outputs["3"]["miso_kept"] == [False]
    codes = fresh.value(3)
    # the same codes as Backbone Sampler's of that seed
    alone = heard_graph(recogniser, n3__max_seconds=0.8, n3__seed=codes.takes[0].seed)
    assert fresh.run(alone).ok and fresh.value(3).tensor.equal(codes.tensor)
    fresh.reset()
    again = fresh.run(prompt)
    assert again.outputs["3"]["miso_kept"] == [True] and fresh.value(3).digest() == codes.digest()


def test_a_stop_ends_it_or_gives_the_best_so_far(fresh, recogniser):
    steps = []

    def interrupt(value: int, total: int) -> None:
        steps.append(total)
        if total == 10 and steps.count(10) == 15:  # frames: in the second pass
            fresh.model_management.interrupt_current_processing()

    for use_partial in (False, True):
        fresh.reset()
        steps.clear()
        fresh.on_progress = interrupt
        try:
            prompt = best_of(recogniser, max_seconds=0.8, keep=False, use_partial=use_partial)
            done = fresh.run(prompt)
        finally:
            fresh.on_progress = lambda value, total: None
        assert done.end == ("execution_success" if use_partial else "execution_interrupted")
    lines = fresh.value(3, 2).splitlines()
    assert len(lines) == 3 and fresh.value(3).takes[0].stop == "limit"  # the stopped one is the last
