"""Align Words in ComfyUI: words go with the codes, subtitles come out, errors name their input."""

import json

from harness.graphs import graph


def aligning(format: str = "json", transcript: str = "", **changes) -> dict:
    """The sampler's codes (3) through Align Words (8) to Save Codes (9)."""
    return graph(**changes) | {
        "8": {
            "class_type": "MisoAlignWords",
            "inputs": {
                "backbone": ["1", 0],
                "text_encoder": ["1", 2],
                "codes": ["3", 0],
                "format": format,
                "transcript": transcript,
            },
        },
        "9": {"class_type": "MisoSaveCodes", "inputs": {"codes": ["8", 0], "filename_prefix": "codes/words"}},
    }


def line(done) -> str:
    """What stands on Align Words."""
    return next(data["text"] for event, data in done.events if event == "miso.line" and data["node"] == "8")


def test_words_go_with_the_codes_and_into_their_file(fresh):
    done = fresh.run(aligning())
    assert done.ok, done.error
    codes, before = fresh.value(8), fresh.value(3)
    assert codes.tensor.equal(before.tensor) and codes.takes[0].spans == before.takes[0].spans
    words = [[word.text for word in take.words] for take in codes.takes]
    assert words[0] and all(found == ["Hello", "there."][: len(found)] for found in words)
    told = json.loads(fresh.value(8, 1))["words"]
    assert [word["text"] for word in told] == words[0] and told[0]["speaker"] == 0
    assert line(done).startswith(f"{sum(map(len, words))} words in 2 takes"), line(done)
    assert any(event == "progress" for event, _ in done.events)
    saved = done.outputs["9"]["codes"][0]
    load = fresh.module("miso.codes").Codes.load
    kept = load(fresh.base / "output" / saved["subfolder"] / saved["filename"])
    assert kept.takes == codes.takes


def test_the_sampler_finds_the_words_of_one_take(fresh):
    assert fresh.run(graph(n3__takes=1)).ok
    (take,) = fresh.value(3).takes
    assert take.words and [word.text for word in take.words] == ["Hello", "there."][: len(take.words)]
    assert fresh.run(graph(n3__takes=1, n3__words=False, n3__keep=False)).ok
    assert not fresh.value(3).takes[0].words
    assert fresh.run(graph(n3__takes=2)).ok
    assert not any(take.words for take in fresh.value(3).takes)


def test_kept_codes_get_words_once_they_are_wanted(fresh):
    run = {"n3__takes": 1, "n3__seed": 31}
    assert fresh.run(graph(**run, n3__words=False)).ok
    without = fresh.value(3)
    done = fresh.run(graph(**run))
    assert done.ok and done.outputs["3"]["miso_kept"] == [True]
    found = fresh.value(3)
    assert found.takes[0].words and not without.takes[0].words
    assert found.tensor.equal(without.tensor)
    assert fresh.run(graph(**run, n3__words=False)).ok  # from the store
    assert fresh.value(3).takes == found.takes


def test_another_format_does_not_sample_again(fresh):
    assert fresh.run(aligning()).ok
    for format, start in (("srt", "1\n00:00:0"), ("vtt", "WEBVTT"), ("labels", "0.")):
        done = fresh.run(aligning(format))
        assert done.ok and "3" not in done.ran and fresh.value(8, 1).startswith(start)


def test_a_transcript_stands_for_the_text(fresh):
    done = fresh.run(aligning("labels", "Good bye.", n3__takes=1))
    assert done.ok and [row.split("\t")[2] for row in fresh.value(8, 1).splitlines()] == ["Good", "bye."]
    assert " to " in line(done) and fresh.value(8).takes[0].text == "Hello there."


def test_what_is_wrong_is_said_at_its_input(fresh):
    prompt = aligning()
    prompt["10"] = {"class_type": "MisoTrimCodes", "inputs": {"codes": ["3", 0], "start": 1, "frames": 3}}
    prompt["8"]["inputs"]["codes"] = ["10", 0]
    error = fresh.run(prompt).error
    assert error.startswith("Align Words, transcript: "), error
    assert "no longer exact" in error and "Type exactly" in error
