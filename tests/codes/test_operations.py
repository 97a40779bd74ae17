"""Editing: operations treat the frames of every take, and their spans, as slices of a Python list."""

import pytest
import torch
from codes.examples import CODEBOOKS, make, same
from hypothesis import given
from hypothesis import strategies as st

from miso.codes import editing
from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.vocoders import coded_silence


@st.composite
def ranges(draw, takes=st.integers(1, 3)):
    """Codes, and a range and a position that all takes have."""
    lengths = draw(takes.flatmap(lambda n: st.lists(st.integers(1, 18), min_size=n, max_size=n)))
    start, end = sorted(draw(st.tuples(*[st.integers(0, min(lengths))] * 2)))
    return make(lengths, draw(st.integers(0, 9))), start, end, draw(st.integers(0, min(lengths)))


def frames(codes: Codes) -> list[list[tuple]]:
    """For each take a list of frames, each as (codes, (text, speaker))."""
    out = []
    for i, take in enumerate(codes.takes):
        says = [None] * int(codes.lengths[i])
        for span in take.spans:
            assert 0 <= span.start < span.end <= len(says) and set(says[span.start : span.end]) == {None}
            says[span.start : span.end] = [(span.text, span.speaker)] * (span.end - span.start)
        out.append([(tuple(codes.tensor[i, :, t].tolist()), says[t]) for t in range(len(says))])
    return out


def check(edited: Codes, original: Codes, expected) -> None:
    """Frames must be ``expected(frames)`` for each take, seeds and source unchanged."""
    assert frames(edited) == [expected(x) for x in frames(original)]
    assert [t.seed for t in edited.takes] == [t.seed for t in original.takes]
    assert edited.source == original.source
    untouched = all(expected(x) == x for x in frames(original))
    assert untouched or any(t.stop is None for t in edited.takes)


@given(ranges())
def test_trim_and_prefix(case):
    codes, s, e, _ = case
    check(editing.trim(codes, s, e - s), codes, lambda x: x[s:e])
    check(editing.trim(codes, -s), codes, lambda x: x[len(x) - s :] if s else x[:])
    check(editing.prefix(codes, s), codes, lambda x: x[:s])
    check(editing.prefix(codes, -s), codes, lambda x: x[: len(x) - s] if s else [])
    assert same(editing.splice(editing.trim(codes, 0, s), editing.trim(codes, s)), codes)


@given(ranges())
def test_delete_and_put_back(case):
    codes, s, e, _ = case
    edited = editing.delete(codes, s, e)
    check(edited, codes, lambda x: x[:s] + x[e:])
    assert same(editing.insert(edited, codes, s, s, e), codes)


@given(ranges())
def test_copy_and_delete(case):
    codes, s, e, to = case
    edited = editing.copy(codes, s, e, to)
    check(edited, codes, lambda x: x[:to] + x[s:e] + x[to:])
    assert same(editing.delete(edited, to, to + e - s), codes)


@given(ranges())
def test_move_there_and_back(case):
    codes, s, e, to = case
    if s < to < e:
        with pytest.raises(MisoError, match="among those moved"):
            editing.move(codes, s, e, to)
        return
    edited = editing.move(codes, s, e, to)
    check(
        edited,
        codes,
        lambda x: x[:to] + x[s:e] + x[to:s] + x[e:] if to <= s else x[:s] + x[e:to] + x[s:e] + x[to:],
    )
    back = editing.move(edited, to, to + e - s, e) if to <= s else editing.move(edited, to - e + s, to, s)
    assert same(back, codes)


@given(ranges(), st.integers(0, 3))
def test_repeat_and_delete(case, times):
    codes, s, e, _ = case
    edited = editing.repeat(codes, s, e, times)
    check(edited, codes, lambda x: x[:e] + x[s:e] * times + x[e:])
    assert same(editing.delete(edited, e, e + times * (e - s)), codes)


@given(ranges(), ranges(takes=st.just(1)))
def test_insert_and_delete(case, second):
    (codes, _, _, at), (other, s, e, _) = case, second
    other = make([other.frames], seed=77)
    piece = frames(other)[0]
    edited = editing.insert(codes, other, at, s, e)
    check(edited, codes, lambda x: x[:at] + piece[s:e] + x[at:])
    assert same(editing.delete(edited, at, at + e - s), codes)
    check(editing.splice(codes, other), codes, lambda x: x + piece)


@given(ranges(), st.integers(0, 9), st.integers(1, 4))
def test_silence_and_delete(case, count, length):
    codes, _, _, at = case
    # more codebooks than the codes: only the first ones are used
    silence = Codes(torch.arange(5 * length).reshape(1, 5, length), [length], "nano")
    edited = editing.insert_silence(codes, at, count, silence)
    quiet = [tuple(silence.tensor[0, :CODEBOOKS, t % length].tolist()) for t in range(count)]

    def expected(x):
        # a pause within a span is part of it
        within = x[at - 1][1] if 0 < at < len(x) and x[at - 1][1] == x[at][1] else None
        return x[:at] + [(q, within) for q in quiet] + x[at:]

    check(edited, codes, expected)
    assert same(editing.delete(edited, at, at + count), codes)
    check(
        editing.insert_silence(codes, None, count, silence), codes, lambda x: x + [(q, None) for q in quiet]
    )


@given(ranges(), st.integers(0, CODEBOOKS - 1))
def test_replace_codebooks_and_back(case, first):
    codes, s, e, begin = case
    other = make([begin + e - s + 1], seed=55)
    edited = editing.replace_codebooks(codes, s, e, first, other, begin)
    piece = frames(other)[0][begin : begin + e - s]

    def expected(x):
        new = [
            (old[:first] + new[first:], words if first else said)
            for (old, words), (new, said) in zip(x[s:e], piece)
        ]
        return x[:s] + new + x[e:]

    check(edited, codes, expected)
    assert same(editing.replace_codebooks(edited, s, e, first, codes, s), codes)


@given(ranges(), st.integers(1, CODEBOOKS))
def test_keep_codebooks(case, count):
    codes = case[0]
    kept = editing.keep_codebooks(codes, count)
    assert frames(kept) == [[(column[:count], words) for column, words in take] for take in frames(codes)]
    assert kept.takes == codes.takes


LONG, SHORT = make([10]), make([10, 4])


@pytest.mark.parametrize(
    "edit, words",
    [
        (lambda: editing.trim(LONG, 11), ["start", "11", "10 frames", "at most 10"]),
        (lambda: editing.trim(LONG, 0, -1), ["-1", "0 or more"]),
        (lambda: editing.delete(LONG, 5, 3), ["frame 3", "frame 5"]),
        (lambda: editing.delete(SHORT, 2, 6), ["6", "4 frames"]),
        (lambda: editing.move(LONG, 2, 6, 4), ["4", "2 or less"]),
        (lambda: editing.repeat(LONG, 0, 10, 10**9), ["1000000000"]),
        (lambda: editing.repeat(LONG, 0, 10, 50_000), ["500010 frames", "100000"]),
        (lambda: editing.insert(LONG, editing.keep_codebooks(LONG, 2), 0), ["codebooks", "Keep Codebooks"]),
        (lambda: editing.insert(SHORT, make([3, 3, 3]), 0), ["2 takes", "3 takes", "Pick Take"]),
        (lambda: editing.insert_silence(LONG, 0, 10**9, LONG), ["1000000000"]),
        (lambda: editing.insert_silence(LONG, 0, 3, SHORT), ["2 takes", "one take"]),
        (lambda: editing.insert_silence(LONG, 0, 3, editing.trim(LONG, 0, 0)), ["0 frames"]),
        (
            lambda: editing.insert_silence(LONG, 0, 3, Codes(LONG.tensor, [10], "other")),
            ["silence", "other", "nano"],
        ),
        (lambda: editing.replace_codebooks(LONG, 0, 5, 3, LONG), ["3", "0 to 2"]),
        (lambda: editing.replace_codebooks(LONG, 0, 5, 1, LONG, 6), ["5 frames", "frame 6", "10"]),
        (lambda: editing.keep_codebooks(LONG, 0), ["0", "1 to 3"]),
    ],
)
def test_errors_name_the_numbers(edit, words):
    with pytest.raises(MisoError) as e:
        edit()
    assert all(word in str(e.value) for word in words), e.value


@pytest.fixture(scope="module")
def codec():
    from miso.vocoders.backends.mimi import MimiVocoder
    from miso.vocoders.mimi import MimiConfig, random_mimi

    sizes = MimiConfig(
        filters=8,
        dim=64,
        heads=2,
        encoder_layers=1,
        decoder_layers=1,
        ff=96,
        codebooks=CODEBOOKS,
        codebook_size=64,
        codebook_dim=16,
    )
    return MimiVocoder(random_mimi(sizes, seed=1, codec="nano"))


def test_coded_silence_is_what_the_encoder_makes_of_zeros(codec):
    silence = coded_silence(codec, 6)
    whole = codec.encode(torch.zeros(1, 1, 60 * codec.frame_size))
    assert silence.tensor.shape == (1, CODEBOOKS, 6) and silence.codec == "nano"
    assert silence.tensor.equal(whole[:, :, 25:31])
    assert silence.takes[0].spans == ()
    assert silence.tensor.equal(coded_silence(codec, 50).tensor[:, :, :6])
