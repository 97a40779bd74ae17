"""What changes between two texts, and which part of an edited text belongs to which part of the old one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.text.changes import changes, divide

WORDS = st.lists(st.sampled_from("abcd"), max_size=8)


@given(WORDS, WORDS)
def test_changes_turn_the_old_words_into_the_new(old, new):
    found, words, done = changes(old, new), [], 0
    for change in found:
        assert done <= change.old.start and (change.old or change.new)
        words += old[done : change.old.start] + [new[i] for i in change.new]
        assert len(words) == change.new.stop
        done = change.old.stop
    assert words + old[done:] == new
    # between two changes a word is kept
    assert all(a.old.stop < b.old.start and a.new.stop < b.new.start for a, b in zip(found, found[1:]))


TURNS = ["Good morning.", "I am well.", "And you?"]


@pytest.mark.parametrize(
    "text, parts",
    [
        ("Good morning. I am well. And you?", TURNS),
        ("Good day. I am fine, really. And you?", ["Good day.", "I am fine, really.", "And you?"]),
        ("Good morning. And you?", ["Good morning.", "", "And you?"]),
        (
            "Good morning to you.\nI am well. And you? Fine.",
            ["Good morning to you.", "I am well.", "And you? Fine."],
        ),
        ("I am well. And you?", ["", "I am well.", "And you?"]),
        ("Good morning. I am", ["Good morning.", "I am", ""]),
    ],
)
def test_an_edited_text_is_divided_as_before(text, parts):
    assert divide(text, TURNS) == parts


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4), min_size=1, max_size=4), st.data()
)
def test_no_word_is_lost_or_said_twice(parts, data):
    before = [" ".join(part) for part in parts]
    words = data.draw(st.lists(st.sampled_from("abcdefg"), max_size=10))
    found = divide(" ".join(words), before)
    assert len(found) == len(before) and " ".join(found).split() == words
