"""Long text in chunks: where sentences end, what fits, and that nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.text.chunks import PAUSES, fit_turns, split_sentences, split_text, text_turns
from miso.text.length import expected_seconds
from miso.text.script import Turn


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met Mrs. Jones. | They talked.",
        "It costs 3.50 dollars, i.e. too much. | No. 5 is cheaper.",
        "He lives in the U.S. Army base. | She doesn't.",
        "He left the U.S. | She stayed until 5 p.m. | Then she left.",
        "J. K. Rowling wrote it. | I read it.",
        '"Really?" he asked. | "Yes!" | She nodded.',
        "He said (see p. 4.) | And so on...  | Then nothing... but wind.",
        "Wait… | What?! | No!!!",
        "1. Boil the water. | 2. Add salt.",
        "See https://example.com/a.b?c=d. | It is there.",
        "他来了。|她走了！|“真的吗？”|是。",
        "¿Qué tal? | ¡Bien! | Gracias.",
        "We met Prof. Li of Acme Inc. in May. | It rained.",
        "v2.0.1 is out. | Get it.",
    ],
)
def test_where_sentences_end(text):
    sentences = [part.strip() for part in text.split("|")]
    assert split_sentences(text.replace(" | ", " ").replace("|", "")) == sentences


def test_sentences_share_a_chunk_as_long_as_they_fit():
    text = "One two three. Four five six. Seven eight nine. " * 3
    chunks = split_text(text, 3.0, 3.0)
    assert len(chunks) == 3 and {chunk.text for chunk in chunks} == {text[: len(text) // 3].strip()}
    assert [chunk.end for chunk in chunks] == ["sentence", "sentence", "paragraph"]
    assert all(2 < expected_seconds(chunk.text) <= 3 for chunk in chunks)


def test_each_sentence_alone_if_the_checkpoint_was_taught_so():
    chunks = split_text("One two three. Four. Five six.\n\nSeven, and eight.", 8.0, 0.0)
    assert [chunk.text for chunk in chunks] == ["One two three.", "Four.", "Five six.", "Seven, and eight."]
    assert [chunk.end for chunk in chunks] == ["sentence", "sentence", "paragraph", "paragraph"]


def test_a_long_sentence_is_cut_at_marks_then_conjunctions_then_words():
    comma = split_text(
        "When the sun had gone down behind the hills, we lit a fire and sat around it.", 3.0, 3.0
    )
    assert comma[0].text == "When the sun had gone down behind the hills," and comma[0].end == "clause"
    conjunction = split_text("We lit a fire in the old camp and we sat around it till dawn.", 2.5, 2.5)
    assert [chunk.text for chunk in conjunction] == [
        "We lit a fire in the old camp",
        "and we sat around it till dawn.",
    ]
    words = split_text("red green blue " * 20, 3.0, 3.0)
    assert all(expected_seconds(chunk.text) <= 3 for chunk in words) and words[0].end == "word"
    letters = split_text("ha" * 200, 3.0, 3.0)
    assert all(expected_seconds(chunk.text) <= 3 for chunk in letters)
    chinese = split_text("春眠不觉晓，处处闻啼鸟。" * 5 + "夜来风雨声花落知多少" * 5, 4.0, 4.0)
    assert all(expected_seconds(chunk.text) <= 4 for chunk in chinese) and len(chinese) < 15


def test_paragraphs():
    wrapped = "A line that\nis wrapped.\n\n* * *\n\nThe next one."
    assert [(c.text, c.end) for c in split_text(wrapped, 20, 20)] == [
        ("A line that is wrapped. * * *", "paragraph"),
        ("The next one.", "paragraph"),
    ]
    assert [c.text for c in split_text("One line.\nAnother.", 20, 20)] == ["One line.", "Another."]
    assert split_text(" \n\n ", 20, 20) == ()
    assert [c.text for c in split_text("***\n\nNow.", 20, 20)] == ["*** Now."]


def test_pauses_of_turns():
    turns = text_turns("One two. Three four.\n\nFive.", 0.8, 0.8, speaker=3)
    assert [(t.text, t.pause, t.speaker) for t in turns] == [
        ("One two.", PAUSES["sentence"], 3),
        ("Three four.", PAUSES["paragraph"], 3),
        ("Five.", 0.0, 3),
    ]
    long = Turn("One two. Three four.", 1, "Anna", pause=2.0, line=4)
    assert [(t.text, t.pause, t.name, t.line) for t in fit_turns([long], 0.8, 0.8)] == [
        ("One two.", PAUSES["sentence"], "Anna", 4),
        ("Three four.", 2.0, "Anna", 4),
    ]


pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "Dr.",
                "e.g.",
                "U.S.",
                "3.14",
                "…",
                "...",
                '"',
                ")",
                "(",
                ",",
                ";",
                "and",
                "\n",
                "\n\n",
                "。",
                "？",
                "，",
            ]
        ),
        st.text(max_size=12),
        st.sampled_from(["word", "Then", "Hello.", "What?", "x" * 80, "春眠不觉晓"]),
    ),
    max_size=60,
)


@given(pieces, st.sampled_from(["", " "]), st.sampled_from([0.5, 3.0, 8.0, 20.0]), st.booleans())
def test_nothing_is_lost_and_all_fits(parts, space, longest, join):
    text = space.join(parts)
    chunks = split_text(text, longest, longest if join else 0)
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())
    spoken = [chunk for chunk in chunks if all(c.isalnum() or c.isspace() for c in chunk.text)]
    assert all(expected_seconds(chunk.text) <= longest for chunk in spoken)
