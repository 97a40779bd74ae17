"""Words said anew: nothing but the changed stretches is touched, and what comes out can be edited again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miso.checkpoints.find import BUNDLED
from miso.codes import editing
from miso.codes.codes import Codes
from miso.codes.takes import Span, Take
from miso.errors import MisoError
from miso.generation.alignment import align
from miso.generation.candidates import LEADS, Candidate, _long_enough
from miso.generation.depth import DepthSampler
from miso.generation.replacement import Replaced, plan_edits, replace_words
from miso.speech import Miso
from miso.text.pronunciations import Pronunciations

TEXT = "Every word you hear was first a handful of codes."
RECORDED = Path(__file__).parents[1] / "weights_nano" / "seed_7.json"  # nano's codes of it


@pytest.fixture(scope="module")
def nano():
    return Miso(BUNDLED / "nano.safetensors", device="cpu")


@pytest.fixture(scope="module")
def spoken(nano) -> Codes:
    tensor = torch.tensor(json.loads(RECORDED.read_text()))
    take = Take(7, "eos", (Span(0, tensor.shape[1], TEXT),))
    return Codes(tensor[None], [tensor.shape[1]], nano.checkpoint.config.codec, takes=(take,))


def say(nano, codes: Codes, text: str, takes: int = 2, reading=None, **options) -> Replaced:
    edits = plan_edits(nano.text, codes, text, reading=reading)
    depth = DepthSampler(nano.depth, nano.sampling)
    return replace_words(
        nano.backbone,
        depth,
        nano.text,
        codes,
        edits,
        reading=reading,
        takes=takes,
        sampling=nano.sampling,
        **options,
    )


def check(codes: Codes, replaced: Replaced, text: str) -> None:
    """Frames that are kept are bit for bit the old ones, and the take says what it is to say."""
    found = replaced.codes.take(0)
    for start, end, place in replaced.kept:
        assert start < end
        assert found.tensor[:, :, place : place + end - start].equal(codes.tensor[:, :, start:end])
    take = found.takes[0]
    assert take.text == text and take.exact and take.spans[-1].end <= found.frames
    assert [word.text for word in take.words] == text.split()
    assert all(a.end <= b.start for a, b in zip(take.words, take.words[1:]))
    assert take.words[-1].end <= found.frames


@pytest.mark.parametrize(
    "text",
    [
        "Every sound you hear was first a handful of codes.",
        "Every little word you hear was first a handful of codes.",
        "Every word was first a handful of codes.",
        "Each word you hear was first a handful of codes.",
        "Every word you hear was first a handful of letters.",
        "Every word you hear was first a handful of codes again.",
        "Now every word that you hear was once a handful.",
    ],
)
def test_only_what_changes_is_touched(nano, spoken, text):
    known = align(nano.backbone, nano.text, spoken).codes
    replaced = say(nano, known, text)
    check(known, replaced, text)
    kept = [word.lower().strip(".") for word in text.split()]
    gone = [word for word in known.takes[0].words if word.text.lower().strip(".") not in kept]
    inside = sum(word.end - word.start for word in gone)
    untouched = sum(end - start for start, end, _ in replaced.kept)
    stretches = 4  # at most, each with frames around it in which the words run into each other
    assert untouched >= spoken.frames - inside - stretches * (LEADS[0] + 4)
    assert replaced.sampled > 0 and replaced.codes.batch == 2


@settings(max_examples=5)
@given(st.permutations(["sound", "codes", "you", "first", "a", "little", "song"]), st.integers(1, 7))
def test_kept_frames_are_bit_identical_for_any_text(nano, spoken, words, count):
    text = " ".join(["Every", *words[:count], "of", "codes."])
    check(spoken, say(nano, spoken, text, takes=1), text)


def test_the_same_edit_gives_the_same_codes_and_another_seed_others(nano, spoken):
    text = "Every sound you hear was first a handful of codes."
    first, again, other = (say(nano, spoken, text, seed=seed).codes for seed in (0, 0, 1))
    assert first.digest() == again.digest() != other.digest()
    back = say(nano, first.take(0), TEXT)
    check(first.take(0), back, TEXT)


def test_a_candidate_much_shorter_than_the_others_is_not_the_best():
    """nano leaves out "today" at the end of a line in 2 of 8 takes, and these are the likeliest."""
    lengths, scores = [5, 5, 10, 11, 10, 10, 8, 10], [-7.2, -7.2, -7.9, -8.2, -8.2, -8.3, -8.3, -8.7]
    found = _long_enough([Candidate(torch.zeros(n, 8), 0, {}, score) for n, score in zip(lengths, scores)])
    assert [candidate.whole for candidate in found] == [n > 5 for n in lengths]
    assert max(found, key=lambda candidate: candidate.score) is found[2]


def test_with_words_at_the_end_the_one_before_them_is_said_anew(nano, spoken):
    """It was the last one of its sentence, and sounds like that."""
    (edit,) = plan_edits(nano.text, spoken, f"{TEXT.rstrip('.')} again.")
    assert edit.about == ["codes. → codes again."]
    (edit,) = plan_edits(nano.text, spoken, "Every word you hear was first a handful some letters again.")
    assert edit.about == ["of codes. → some letters again."]
    (edit,) = plan_edits(nano.text, spoken, "Every word you hear was first a handful by codes again.")
    assert edit.about == ["of codes. → by codes again."]


def test_no_change_changes_nothing(nano, spoken):
    text = "every word, you hear, was first a handful of codes!"
    replaced = say(nano, spoken, text)
    assert replaced.codes.tensor.equal(spoken.tensor) and not replaced.sampled
    assert replaced.kept == ((0, spoken.frames, 0),) and replaced.codes.takes[0].text == text


def test_a_pronunciation_is_fixed_wherever_the_word_stands(nano, spoken):
    twice = editing.splice(spoken, spoken)
    reading = nano.text.with_pronunciations(Pronunciations({"hear": "here we go", "of": "off"}))
    edits = plan_edits(nano.text, twice, f"{TEXT} {TEXT}", reading=reading)
    assert [edit.about for edit in edits] == 2 * [["hear → hear", "of → of"]]
    replaced = say(nano, twice, f"{TEXT} {TEXT}", takes=1, reading=reading)
    check(twice, replaced, f"{TEXT} {TEXT}")
    assert len(replaced.kept) == 5 and [span.text for span in replaced.codes.takes[0].spans] == [TEXT, TEXT]


def test_a_turn_of_a_dialogue_is_changed_and_another_removed(nano, spoken):
    turns = [
        spoken.like(spoken.tensor, takes=[Take(7, "eos", (Span(0, spoken.frames, t, i),))])
        for i, t in enumerate((TEXT, "Something else altogether.", TEXT))
    ]
    three = editing.splice(editing.splice(turns[0], turns[1]), turns[2])
    text = f"{TEXT} Every word you know was first a handful of codes."
    replaced = say(nano, three, text, takes=1)
    found = replaced.codes.takes[0]
    assert [(span.text, span.speaker) for span in found.spans] == [
        (TEXT, 0),
        ("Every word you know was first a handful of codes.", 2),
    ]
    first, last = replaced.kept[0], replaced.kept[-1]
    assert first[:2] == (0, spoken.frames) and last[1] == three.frames


def test_what_does_not_fit_is_refused(nano, spoken):
    unknown = spoken.like(spoken.tensor, takes=[Take()])
    cut = editing.delete(spoken, 4, 8)
    two = spoken.like(spoken.tensor.expand(2, -1, -1), takes=2 * spoken.takes)
    for codes, text, words, input in (
        (unknown, "Hello.", "Transcript missing", "transcript"),
        (cut, "Hello.", "no longer exact", "transcript"),
        (two, "Hello.", "2 takes", "codes"),
        (spoken, "  ", "the text is empty", "text"),
        (replace(spoken, codec="other"), "Hello.", "codec", "codes"),
    ):
        with pytest.raises(MisoError, match=words) as e:
            plan_edits(nano.text, codes, text)
        assert e.value.input == input


def test_stopping_it_leaves_nothing_running(nano, spoken):
    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        say(nano, spoken, "Every sound you hear was first a handful of codes.", progress=stop)


def test_a_line_without_words_is_to_be_said_as_a_whole(nano, spoken):
    sign = replace(spoken.takes[0], spans=(Span(0, spoken.frames, "&"),))
    with pytest.raises(MisoError, match="'&' has no words"):
        plan_edits(nano.text, spoken.like(spoken.tensor, takes=[sign]), "& more")


def test_what_is_said_anew_is_part_of_the_key(nano, spoken):
    (edit,) = plan_edits(nano.text, spoken, f"{TEXT[:-1]} again.")
    assert replace(edit, changes=[edit.changes[0]._replace(old=range(10, 10))]).key != edit.key
