"""Replace Words in ComfyUI: what differs is sampled once, candidates are kept, errors name their input."""

from harness.graphs import graph


def replacing(text: str, **changes) -> dict:
    """The sampler's take (3) through Replace Words (8) to Save Codes (9)."""
    inputs = {
        "backbone": ["1", 0],
        "depth": ["1", 1],
        "text_encoder": ["1", 2],
        "codes": ["3", 0],
        "text": text,
        "seed": 0,
        "takes": 3,
        "rank": 1,
        "temperature": 0.9,
        "top_k": 50,
    }
    prompt = graph(n3__takes=1, n3__max_seconds=2.0)
    prompt["8"] = {"class_type": "MisoReplaceWords", "inputs": inputs | changes}
    saved = {"codes": ["8", 0], "filename_prefix": "codes/replaced"}
    prompt["9"] = {"class_type": "MisoSaveCodes", "inputs": saved}
    return prompt


def shown(done) -> dict:
    return done.outputs["8"]["miso_replaced"][0]


def line(done) -> str:
    """What stands on Replace Words."""
    return next(data["text"] for event, data in done.events if event == "miso.line" and data["node"] == "8")


def test_other_words_are_sampled_once_and_candidates_are_there(fresh):
    done = fresh.run(replacing("Hello again."))
    assert done.ok, done.error
    first = fresh.value(8)
    assert first.takes[0].text == "Hello again." and fresh.value(8, 1).batch == 3
    assert shown(done)["changes"] == ["there. → again."] and shown(done)["text"] == "Hello there."
    assert (
        0 < shown(done)["sampled"] and not shown(done)["kept"] and "there. → again. Candidate 1" in line(done)
    )
    assert any(event == "progress" for event, _ in done.events)
    for rank in (2, 3):
        done = fresh.run(replacing("Hello again.", rank=rank))
        assert done.ok and shown(done)["kept"] and shown(done)["sampled"] == 0
        assert fresh.value(8).tensor.equal(fresh.value(8, 1).take(rank - 1).tensor)
    assert "3" not in done.ran
    done = fresh.run(replacing("Hello again.", rank=4))
    assert done.error.startswith("Replace Words, rank: There is no take 4"), done.error


def test_without_a_text_or_with_the_same_nothing_is_sampled(fresh):
    for text in ("", "hello there!"):
        done = fresh.run(replacing(text))
        assert done.ok and shown(done)["sampled"] == 0 and shown(done)["changes"] == []
        assert "No word differs" in line(done)
        assert fresh.value(8).tensor.equal(fresh.value(3).tensor)


def test_a_pronunciation_says_its_words_anew(fresh):
    done = fresh.run(replacing("", pronunciations="there = their"))
    assert done.ok and shown(done)["changes"] == ["there. → there."] and shown(done)["sampled"] > 0
    error = fresh.run(replacing("", pronunciations="there")).error
    assert error.startswith("Replace Words, pronunciations: "), error


def test_what_is_wrong_is_said_at_its_input(fresh):
    prompt = replacing("Hello again.")
    prompt["10"] = {"class_type": "MisoTrimCodes", "inputs": {"codes": ["3", 0], "start": 1, "frames": 3}}
    prompt["8"]["inputs"]["codes"] = ["10", 0]
    error = fresh.run(prompt).error
    assert error.startswith("Replace Words, transcript: ") and "no longer exact" in error, error
