"""Edits as data: each operation does what its function does, and errors name the operation."""

import json

import pytest
from codes.examples import make, same

from miso.codes import editing
from miso.errors import MisoError

LONG = make([10])
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
