"""Choices about turns, as the panel writes them: read, or refused with the entry that is wrong."""

import json

import pytest

from miso.errors import MisoError
from miso.generation.choices import Choice, read_choices
from miso.generation.turn_settings import turn_seed
from miso.text.script import Turn

ENTRY = {"text": "Yes.", "speaker": 1, "nth": 0}


def test_read():
    listed = [{**ENTRY, "attempt": 2}, {**ENTRY, "nth": 1, "locked": "a" * 64}]
    assert read_choices(json.dumps(listed)) == {
        ("Yes.", 1, 0): Choice(2),
        ("Yes.", 1, 1): Choice(0, "a" * 64),
    }
    assert read_choices("") == read_choices("[]") == {}


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[", "not valid JSON"),
        ("{}", "not a list"),
        ("[1]", "Choice 1 is not an object"),
        (json.dumps([ENTRY, {**ENTRY, "seed": 1}]), "Choice 2 is not an object"),
        (json.dumps([{**ENTRY, "text": None}]), "Choice 1: text"),
        (json.dumps([{**ENTRY, "speaker": True}]), "Choice 1: speaker"),
        (json.dumps([{**ENTRY, "nth": -1}]), "Choice 1: nth"),
        (json.dumps([{**ENTRY, "attempt": 1.5}]), "Choice 1: attempt"),
        (json.dumps([{**ENTRY, "locked": "../../etc/passwd"}]), "Choice 1: locked"),
    ],
)
def test_what_is_no_choice_is_refused(text, problem):
    with pytest.raises(MisoError, match=problem) as caught:
        read_choices(text)
    assert caught.value.input == "choices" and "Clear" in caught.value.remedy


def test_an_attempt_has_a_seed_of_its_own():
    turn = Turn("Yes.", 1)
    assert turn_seed(3, turn, 0) == turn_seed(3, turn, 0, 0) == 4821633121567077556
    assert len({turn_seed(3, turn, 0, attempt) for attempt in range(5)}) == 5
