"""Scripts: who says what, what is no name, pauses, and errors that name the line."""

import pytest

from miso.errors import MisoError
from miso.text.script import parse_script, speaker_names


def said(script: str, **speakers: int) -> list[tuple]:
    return [(turn.speaker, turn.name, turn.text) for turn in parse_script(script, speakers)]


def test_names_numbers_and_lines_without():
    script = """
    # two people
    Anna: Good morning.
      Did you sleep well?

    BEN: Like a stone.
    [0] And I say nothing.
    anna: this is text, for the name has no capital.
    [Anna] Me too.
    Ben:
    A line below its name.
    """
    turns = parse_script(script)
    assert [(t.speaker, t.name, t.text, t.line) for t in turns] == [
        (1, "Anna", "Good morning.", 3),
        (1, "Anna", "Did you sleep well?", 4),
        (2, "BEN", "Like a stone.", 6),
        (0, "", "And I say nothing.", 7),
        (0, "", "anna: this is text, for the name has no capital.", 8),
        (1, "Anna", "Me too.", 9),
        (2, "Ben", "A line below its name.", 11),
    ]
    assert speaker_names(turns) == {"Anna": 1, "BEN": 2, "Ben": 2}


@pytest.mark.parametrize(
    "line, name",
    [
        ("Anna: Hi.", "Anna"),
        ("Dr. Jane O'Neil: Hi.", "Dr. Jane O'Neil"),
        ("Speaker 1: Hi.", "Speaker 1"),
        ("Élodie：Hi.", "Élodie"),
        ("李雷：Hi.", "李雷"),
        ("Anna:Hi.", "Anna"),
        ("[Old Man 2]: Hi.", "Old Man 2"),
        ("[Note] Hi.", "Note"),
        ("my_voice: Hi.", "my_voice"),  # known, because it is a voice's
        ("[my_voice] Hi.", "my_voice"),
    ],
)
def test_what_is_a_name(line, name):
    (turn,) = parse_script(line, {"My_Voice": 7})
    assert (turn.name, turn.text) == (name, "Hi.") and (turn.speaker == 7) == (name == "my_voice")


@pytest.mark.parametrize(
    "line",
    [
        "Note: bring a coat.",
        "Chapter 2: the river.",
        "10:30 is too early.",
        "Https://example.com is the place.",
        "The Cat In The: hat.",
        "He said: come in.",
        "[laughs] Come in.",
        "[see page 4] Come in.",
        "#1 of the charts.",
        "Half past ten, said Anna: not now.",
    ],
)
def test_what_is_no_name(line):
    assert said(line) == [(0, "", line)]


def test_known_names_keep_their_numbers_and_others_take_what_is_left():
    assert [turn[0] for turn in said("Anna: a\n[1] b\nBen: c\nANNA: d\nEve: e", ben=0)] == [2, 1, 0, 2, 3]


def test_pauses():
    turns = parse_script("Anna: One. [pause 0.5] Two. [pause:250ms]\n[pause 1s]\n[Pause]\nThree. [pause ,5]")
    assert [(t.text, t.pause) for t in turns] == [("One.", 0.5), ("Two.", 1.75), ("Three.", 0.5)]
    assert {t.name for t in turns} == {"Anna"}


@pytest.mark.parametrize(
    "script, words",
    [
        ("\n[pause 1]\nAnna: Hi.", "Line 2: a pause comes after"),
        ("Anna: Hi.\nBen: [pause 1]", "Line 2: a pause comes after"),
        ("Anna: Hi.\nAnna: [pause long] So.", r"Line 2: '\[pause long\]'"),
        ("Anna: Hi. [pause 1500]", "Line 1: .*500ms"),
        ("Anna: Hi.\nBen:", "Line 2: a name with nothing to say"),
        ("Anna:\nBen: Hi.", "Line 1: a name with nothing to say"),
        ("Hi.\n[256] Hi.", "Line 2: there is no speaker 256"),
        (" \n# nothing\n", "nothing to say"),
        ("\n".join(f"Voice {i}: hi" for i in range(300)), "too many speakers"),
    ],
)
def test_errors_name_the_line(script, words):
    with pytest.raises(MisoError, match=words) as e:
        parse_script(script)
    assert e.value.input == "script"
