"""Editing: operations treat the frames of every take, and their spans, as slices of a Python list."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miso.audio.seams import audibility
from miso.codes import editing
from miso.codes.codes import Codes, Span, Take, join_spans
from miso.errors import MisoError
from miso.vocoders import coded_silence

CODEBOOKS, SIZE = 3, 2048


def make(lengths, seed=0) -> Codes:
    """Random codes with spans of up to four frames; every third stretch of four frames has no span."""
    shape, generator = (len(lengths), CODEBOOKS, max(lengths)), torch.Generator().manual_seed(seed)
    tensor = torch.randint(0, SIZE, shape, generator=generator)
    takes = []
    for i, n in enumerate(lengths):
        starts = [s for s in range(0, n, 4) if s % 12 != 8]
        spans = tuple(Span(s, min(s + 4, n), f"{seed} {i} {s}", s % 2) for s in starts)
        takes.append(Take(i, "eos", spans))
    return Codes(tensor, lengths, "nano", takes=tuple(takes), source={"model": "m"})


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


def same(a: Codes, b: Codes) -> bool:
    """Whether all but the stop reason, which edited codes lack, is equal."""
    return (
        a.tensor.equal(b.tensor)
        and a.lengths.equal(b.lengths)
        and [(t.seed, t.spans) for t in a.takes] == [(t.seed, t.spans) for t in b.takes]
    )


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
        with pytest.raises(MisoError, match="one of them"):
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


def test_a_repeated_line_has_two_spans_and_a_stutter_one():
    take = Take(1, "eos", (Span(0, 10, "Hello."),))
    codes = Codes(torch.arange(30).reshape(1, 3, 10), [10], "nano", takes=(take,))
    assert editing.repeat(codes, 0, 10).takes[0].spans == (Span(0, 10, "Hello."), Span(10, 20, "Hello."))
    assert editing.repeat(codes, 2, 10).takes[0].spans == (Span(0, 18, "Hello."),)
    assert editing.trim(codes).takes == codes.takes  # an uncut take keeps its stop reason
    assert editing.trim(codes, 1).takes[0].stop is None


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


def test_joining_all_frames_restores_the_spans():
    codes = make([16])
    parts = [editing.trim(codes, i, 1) for i in range(16)]
    joined = parts[0]
    for part in parts[1:]:
        joined = editing.splice(joined, part)
    assert same(joined, codes) and joined.takes[0].spans == join_spans(codes.takes[0].spans)


LONG, SHORT = make([10]), make([10, 4])


@pytest.mark.parametrize(
    "edit, words",
    [
        (lambda: editing.trim(LONG, 11), ["start", "11", "10 frames", "-10 to 10"]),
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


# edits as data

OTHER = make([8], seed=5)
SILENCE = make([2], seed=6)
EDITS = {  # fields of each operation, and the function that does the same
    "delete": ({"start": 2, "end": 5}, lambda c: editing.delete(c, 2, 5)),
    "insert_silence": ({"at": 3, "frames": 5}, lambda c: editing.insert_silence(c, 3, 5, SILENCE)),
    "copy": ({"start": 1, "end": 3, "to": 7}, lambda c: editing.copy(c, 1, 3, 7)),
    "move": ({"start": 1, "end": 3, "to": 7}, lambda c: editing.move(c, 1, 3, 7)),
    "repeat": ({"start": 1, "end": 3, "times": 2}, lambda c: editing.repeat(c, 1, 3, 2)),
    "insert": ({"at": 4, "start": 1, "end": 6}, lambda c: editing.insert(c, OTHER, 4, 1, 6)),
    "replace_codebooks": (
        {"start": 1, "end": 4, "first": 1, "from": 3},
        lambda c: editing.replace_codebooks(c, 1, 4, 1, OTHER, 3),
    ),
    "keep_codebooks": ({"count": 2}, lambda c: editing.keep_codebooks(c, 2)),
    "take": ({"take": 0}, lambda c: c.take(0)),
}


def replay(edits, codes=LONG):
    return editing.apply(codes, edits, OTHER, lambda: SILENCE)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_equals_its_function(name):
    fields, function = EDITS[name]
    edited = replay(json.dumps([{"op": name, **fields}]))
    assert same(edited.codes, function(LONG)) and edited.prefix is edited.redecode_from is None


def test_edits_apply_one_after_the_other_to_all_takes():
    codes = make([12, 9])
    edits = [
        {"op": name, **fields}
        for name, (fields, _) in EDITS.items()
        if name not in ("take", "keep_codebooks")
    ]
    expected = codes
    for operation in edits:
        expected = EDITS[operation["op"]][1](expected)
    assert same(replay(edits, codes).codes, expected)
    assert replay("[]", codes).codes is codes and replay("", codes).codes is codes


def test_marks():
    edited = replay(
        [
            {"op": "take", "take": 1},
            {"op": "delete", "start": 0, "end": 2},
            {"op": "resample_from", "frame": 5},
        ],
        make([3, 10]),
    )
    assert edited.codes.frames == 8 and same(edited.prefix, editing.trim(edited.codes, 0, 5))
    edited = replay([{"op": "redecode_from", "frame": 4}, {"op": "resample_from", "frame": 5}])
    assert edited.codes is LONG and edited.redecode_from == 4 and edited.prefix.frames == 5


@pytest.mark.parametrize(
    "edits, words",
    [
        ("[", ["JSON"]),
        ("[" * 100_000, ["JSON"]),
        ('{"op": "delete"}', ["list"]),
        ([3], ["Operation 1", "object"]),
        ([{"op": ["delete"]}], ["Operation 1", "object"]),
        ([{"start": 1}], ["Operation 1", "object"]),
        ([{"op": "reverse"}], ["Operation 1 (reverse)", "no such", "delete"]),
        ([{"op": "delete", "start": 1}], ["Operation 1 (delete)", "end"]),
        ([{"op": "delete", "start": 1, "end": 2, "take": 1}], ["Operation 1 (delete)", "take"]),
        ([{"op": "delete", "start": 1, "end": 2.0}], ["Operation 1 (delete)", "end is 2.0"]),
        ([{"op": "delete", "start": True, "end": 2}], ["Operation 1 (delete)", "start is True"]),
        ([{"op": "delete", "start": -1, "end": 2}], ["Operation 1 (delete)", "start is -1"]),
        (
            [{"op": "delete", "start": 0, "end": 6}, {"op": "delete", "start": 2, "end": 6}],
            ["Operation 2 (delete)", "end is 6", "4 frames"],
        ),
        ([{"op": "move", "start": 0, "end": 6, "to": 3}], ["Operation 1 (move)", "0 to 5"]),
        ([{"op": "insert", "at": 0, "start": 0, "end": 9}], ["Operation 1 (insert)", "end is 9", "8 frames"]),
        ([{"op": "keep_codebooks", "count": 4}], ["Operation 1 (keep_codebooks)", "3 codebooks"]),
        (
            [{"op": "keep_codebooks", "count": 2}, {"op": "insert", "at": 0, "start": 0, "end": 1}],
            ["Operation 2 (insert)", "number of codebooks"],
        ),
        (
            [{"op": "insert_silence", "at": 0, "frames": 10**12}],
            ["Operation 1 (insert_silence)", "1000000000000"],
        ),
        (
            [{"op": "delete", "start": 0, "end": 1}, {"op": "take", "take": 0}],
            ["Operation 2 (take)", "first"],
        ),
        ([{"op": "take", "take": 1}], ["Operation 1 (take)", "no take 1"]),
        ([{"op": "resample_from", "frame": 11}], ["Operation 1 (resample_from)", "11", "10 frames"]),
        ([{"op": "resample_from", "frame": 2}] * 2, ["Operation 2 (resample_from)", "twice"]),
        (
            [{"op": "resample_from", "frame": 2}, {"op": "delete", "start": 0, "end": 1}],
            ["Operation 2 (delete)", "resample_from", "after all edits"],
        ),
        (
            [{"op": "delete", "start": 0, "end": 1}, {"op": "redecode_from", "frame": 2}],
            ["Operation 2 (redecode_from)", "delete", "hidden states"],
        ),
        ([{"op": "redecode_from", "frame": 12}], ["Operation 1 (redecode_from)", "12"]),
    ],
)
def test_an_edit_that_does_not_fit_is_named(edits, words):
    with pytest.raises(MisoError) as e:
        replay(edits)
    assert all(word in str(e.value) for word in words), e.value
    assert e.value.input == "edits"


def test_errors_name_the_missing_input():
    with pytest.raises(MisoError, match="Operation 1 \\(insert\\).*second codes"):
        editing.apply(LONG, [{"op": "insert", "at": 0, "start": 0, "end": 1}])
    with pytest.raises(MisoError, match="Operation 1 \\(insert_silence\\).*vocoder"):
        editing.apply(LONG, [{"op": "insert_silence", "at": 0, "frames": 1}])


# seams


def speech(seconds: float, rate: int, seed: int) -> torch.Tensor:
    """Noise that swells and fades four times a second, like syllables."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(int(seconds * rate)) / rate
    tone = sum(torch.sin(2 * torch.pi * f * t) / f for f in (120, 240, 720, 1800)) * 60
    return (
        (tone + 0.3 * torch.randn(len(t), generator=generator))
        * (0.55 + 0.45 * torch.sin(2 * torch.pi * 4 * t))
        * 0.1
    )


def test_a_click_is_audible_and_plain_speech_is_not():
    rate = 24_000
    wave = speech(4, rate, seed=1)
    places = [int(s * rate) for s in (0.7, 1.3, 2.1, 2.9)]
    plain = audibility(wave, rate, places)
    clicking = wave.clone()
    for place in places:
        clicking[place:] *= -1  # a jump, and a click with it
        clicking[place] += 0.8
    assert max(plain) < 0.98 and sum(plain) / 4 < 0.8
    assert min(audibility(clicking, rate, places)) > 0.99


def test_a_gap_is_more_audible_than_a_crossfade():
    rate = 24_000
    a, b = speech(2, rate, seed=1), speech(2, rate, seed=2)
    gap = torch.cat((a, torch.zeros(rate // 50), b))
    fade = torch.linspace(0, 1, rate // 10)
    soft = torch.cat((a[: -len(fade)], a[-len(fade) :] * (1 - fade) + b[: len(fade)] * fade, b[len(fade) :]))
    (hard,) = audibility(gap, rate, [2 * rate + rate // 50])
    (faded,) = audibility(soft, rate, [2 * rate - len(fade) // 2])
    assert hard > 0.99 > faded
    with pytest.raises(MisoError):
        audibility(a[:100], rate, [50])
    with pytest.raises(MisoError):
        audibility(torch.zeros(rate), rate, [50])
