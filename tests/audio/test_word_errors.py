"""Word errors: the distance, and what counts as a word."""

import pytest

from miso.audio.word_errors import edits, error_rate, plain, words


def test_edits():
    assert edits("kitten", "sitting") == 3 and edits("", "abc") == 3 and edits("abc", "abc") == 0
    assert error_rate([["a", "b"], ["c"]], [["a", "x", "b"], []]) == pytest.approx(2 / 3)


def test_marks_and_capitals_dont_count():
    assert plain("'Don’t,' she said – STOP!") == "don't she said stop"
    assert plain("Café ﬁne 90") == plain("cafe\u0301 fine 90")


def test_characters_are_words_where_nothing_stands_between_them():
    assert words("今天 very 好") == ["今", "天", "very", "好"]
