"""What edits leave known of a text: which spans say it, whether it is whole, and where its words are."""

import torch
from codes.examples import CODEBOOKS, make, said, same
from hypothesis import given
from hypothesis import strategies as st

from miso.codes import editing
from miso.codes.codes import Codes
from miso.codes.takes import Span, Take, Word, join_spans


def test_a_repeated_line_has_two_spans_and_a_stutter_one():
    take = Take(1, "eos", (Span(0, 10, "Hello."),))
    codes = Codes(torch.arange(30).reshape(1, 3, 10), [10], "nano", takes=(take,))
    assert editing.repeat(codes, 0, 10).takes[0].spans == (Span(0, 10, "Hello."), Span(10, 20, "Hello."))
    assert editing.repeat(codes, 2, 10).takes[0].spans == (Span(0, 18, "Hello.", exact=False),)
    assert editing.splice(codes, codes).takes[0].text == "Hello. Hello."
    assert editing.trim(codes).takes == codes.takes  # an uncut take keeps its stop reason
    assert editing.trim(codes, 1).takes[0].stop is None


def test_joining_all_frames_restores_the_spans():
    codes = make([16])
    parts = [editing.trim(codes, i, 1) for i in range(16)]
    joined = parts[0]
    for part in parts[1:]:
        joined = editing.splice(joined, part)
    assert same(joined, codes) and said(joined.takes[0]) == list(join_spans(codes.takes[0].spans))


def numbered(start: int, *texts: str) -> Codes:
    """One take whose frames hold the numbers from ``start``; each text is said by four frames."""
    count = 4 * len(texts)
    spans = tuple(Span(4 * i, 4 * i + 4, text) for i, text in enumerate(texts))
    tensor = torch.arange(start, start + count).expand(1, CODEBOOKS, count)
    return Codes(tensor, [count], "nano", takes=(Take(1, "eos", spans),))


MINE, OTHER = numbered(0, "a", "b", "c"), numbered(100, "a", "d")
QUIET = Codes(torch.full((1, CODEBOOKS, 1), 999), [1], "nano")
WHOLE = [list(range(start, start + 4)) for start in (0, 4, 8, 100, 104)]
EDITS = st.one_of(
    st.tuples(st.sampled_from(["delete", "copy", "move", "repeat"]), *[st.integers(0, 12)] * 3),
    st.tuples(st.sampled_from(["insert", "silence", "replace"]), *[st.integers(0, 8)] * 3),
)


@given(EDITS)
def test_a_text_is_exact_while_it_is_whole(edit):
    """Of each span of the result: exact if and only if its frames are all those of one text, in order."""
    kind, a, b, c = edit
    a, b = sorted((a, b))
    if kind == "move" and a < c < b:
        return
    edited = {
        "delete": lambda: editing.delete(MINE, a, b),
        "copy": lambda: editing.copy(MINE, a, b, c),
        "move": lambda: editing.move(MINE, a, b, c),
        "repeat": lambda: editing.repeat(MINE, a, b, 2),
        "insert": lambda: editing.insert(MINE, OTHER, c, a, b),
        "silence": lambda: editing.insert_silence(MINE, c, a, QUIET),
        "replace": lambda: editing.replace_codebooks(MINE, 2, 2 + b - a, 0, OTHER, a),
    }[kind]()
    ids = edited.tensor[0, 0].tolist()
    for span in edited.takes[0].spans:
        frames = [i for i in ids[span.start : span.end] if i != 999]
        assert span.exact == (frames in WHOLE), (edit, span, frames)


def test_what_is_known_of_an_edited_text():
    assert editing.trim(MINE, 4).takes[0].text == "b c" and editing.trim(MINE, 4).takes[0].exact
    cut = editing.trim(MINE, 5).takes[0]
    assert cut.label == "about: b c" and [span.exact for span in cut.spans] == [False, True]
    assert editing.keep_codebooks(MINE, 1).takes == MINE.takes
    assert editing.replace_codebooks(MINE, 1, 3, 1, OTHER).takes[0].exact  # words are in codebook 0
    mute = Codes(QUIET.tensor, [1], "nano")  # speech of which nobody knows the words
    spliced = editing.splice(MINE, mute)
    assert not spliced.takes[0].exact and spliced.takes[0].text == "a b c"
    assert editing.delete(spliced, 12, 13).takes[0].exact
    assert editing.splice(mute, mute).takes[0].spans == ()


def test_words_follow_edits_and_those_that_are_cut_through_are_dropped():
    words = tuple(Word(f"w{i}", 2 * i + 0.25, 2 * i + 1.75, 0.5) for i in range(6))
    codes = make([12], seed=1)
    codes = codes.like(codes.tensor, takes=[Take(1, "eos", codes.takes[0].spans, words=words)])

    def places(edited: Codes) -> list[tuple[str, float]]:
        return [(word.text, word.start) for word in edited.takes[0].words]

    assert places(editing.delete(codes, 2, 4)) == [
        ("w0", 0.25),
        ("w2", 2.25),
        ("w3", 4.25),
        ("w4", 6.25),
        ("w5", 8.25),
    ]
    assert places(editing.trim(codes, 3, 5)) == [("w2", 1.25), ("w3", 3.25)]
    assert places(editing.repeat(codes, 0, 2)) == [
        ("w0", 0.25),
        ("w0", 2.25),
        *((f"w{i}", 2 * i + 2.25) for i in range(1, 6)),
    ]
    moved = editing.move(codes, 4, 6, 0)
    assert places(moved)[:2] == [("w2", 0.25), ("w0", 2.25)]
    assert editing.move(moved, 0, 2, 6).takes[0].words == words
    unknown = make([5], seed=2)
    assert places(editing.splice(unknown, codes))[0] == ("w0", 5.25)
    assert [word for word, _ in places(editing.insert(codes, unknown, 3))] == ["w0", "w2", "w3", "w4", "w5"]
    assert editing.keep_codebooks(codes, 1).takes[0].words == words
