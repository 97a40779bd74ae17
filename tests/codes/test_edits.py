"""Edits as data: each operation does what its function does, and errors name the operation."""

import json

import pytest
import torch
from codes.examples import make, same

from miso.codes import editing
from miso.codes.takes import Take
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
        ([3], ["Edit 1", "object"]),
        ([{"op": ["delete"]}], ["Edit 1", "object"]),
        ([{"start": 1}], ["Edit 1", "object"]),
        ([{"op": "reverse"}], ["Edit 1 (reverse)", "no such", "delete"]),
        ([{"op": "delete", "start": 1}], ["Edit 1 (Delete)", "end"]),
        ([{"op": "delete", "start": 1, "end": 2, "take": 1}], ["Edit 1 (Delete)", "take"]),
        ([{"op": "delete", "start": 1, "end": 2.0}], ["Edit 1 (Delete)", "end is 2.0"]),
        ([{"op": "delete", "start": True, "end": 2}], ["Edit 1 (Delete)", "start is True"]),
        ([{"op": "delete", "start": -1, "end": 2}], ["Edit 1 (Delete)", "start is -1"]),
        (
            [{"op": "delete", "start": 0, "end": 6}, {"op": "delete", "start": 2, "end": 6}],
            ["Edit 2 (Delete)", "end is 6", "4 frames"],
        ),
        ([{"op": "move", "start": 0, "end": 6, "to": 3}], ["Edit 1 (Move)", "0 or less, or 6 or more"]),
        ([{"op": "insert", "at": 0, "start": 0, "end": 9}], ["Edit 1 (Insert)", "end is 9", "8 frames"]),
        ([{"op": "keep_codebooks", "count": 4}], ["Edit 1 (Keep codebooks)", "3 codebooks"]),
        (
            [{"op": "keep_codebooks", "count": 2}, {"op": "insert", "at": 0, "start": 0, "end": 1}],
            ["Edit 2 (Insert)", "number of codebooks"],
        ),
        (
            [{"op": "insert_silence", "at": 0, "frames": 10**12}],
            ["Edit 1 (Silence)", "1000000000000"],
        ),
        (
            [{"op": "delete", "start": 0, "end": 1}, {"op": "take", "take": 0}],
            ["Edit 2 (Take)", "first"],
        ),
        ([{"op": "take", "take": 1}], ["Edit 1 (Take)", "no take 2"]),
        ([{"op": "resample_from", "frame": 11}], ["Edit 1 (Resample from here)", "11", "10 frames"]),
        ([{"op": "resample_from", "frame": 2}] * 2, ["Edit 2 (Resample from here)", "twice"]),
        (
            [{"op": "resample_from", "frame": 2}, {"op": "delete", "start": 0, "end": 1}],
            ["Edit 2 (Delete)", "Resample from here", "after all edits"],
        ),
        (
            [{"op": "delete", "start": 0, "end": 1}, {"op": "redecode_from", "frame": 2}],
            ["Edit 2 (Redecode depth here)", "Delete", "hidden states"],
        ),
        ([{"op": "redecode_from", "frame": 12}], ["Edit 1 (Redecode depth here)", "12"]),
    ],
)
def test_an_edit_that_does_not_fit_is_named(edits, words):
    with pytest.raises(MisoError) as e:
        replay(edits)
    assert all(word in str(e.value) for word in words), e.value
    assert e.value.input == "edits"


def test_errors_name_the_missing_input():
    with pytest.raises(MisoError, match="Edit 1 \\(Insert\\).*second codes"):
        editing.apply(LONG, [{"op": "insert", "at": 0, "start": 0, "end": 1}])
    with pytest.raises(MisoError, match="Edit 1 \\(Silence\\).*vocoder"):
        editing.apply(LONG, [{"op": "insert_silence", "at": 0, "frames": 1}])


def test_edits_made_for_other_codes_are_not_applied():
    delete, codes = {"op": "delete", "start": 2, "end": 5}, editing.made_on(LONG)
    stamp = {"op": "made_for", "codes": codes}
    assert same(replay([stamp, delete]).codes, editing.delete(LONG, 2, 5))
    assert not replay([stamp, delete]).misfit
    marks = [{"op": "resample_from", "frame": 1}]
    edited = replay([stamp, delete, *marks], OTHER)
    assert edited.misfit and edited.codes is OTHER and edited.prefix is None
    assert replay([{**stamp, "other": editing.made_on(OTHER)}, delete]).codes.frames == 7
    assert replay([{**stamp, "other": codes}, delete]).misfit
    assert editing.apply(LONG, [{**stamp, "other": codes}, delete]).codes.frames == 7  # no second codes


def test_what_edits_were_made_for_is_ids_and_lengths_alone():
    codes = make([10, 9])
    known = codes.like(codes.tensor, codes.lengths, [Take(7)] * 2)
    assert editing.made_on(codes) == editing.made_on(known)
    assert len(editing.made_on(codes)) == 16
    others = [codes.take(0), codes.like(codes.tensor, torch.tensor([10, 10])), codes.like(codes.tensor + 1)]
    assert editing.made_on(codes) not in map(editing.made_on, others)


@pytest.mark.parametrize(
    "stamp", [{}, {"codes": 3}, {"codes": "a", "at": "b"}, {"codes": "a", "other": None}, {"other": "a"}]
)
def test_a_damaged_note_of_what_edits_were_made_for(stamp):
    with pytest.raises(MisoError, match="Clear edits.*damaged"):
        replay([{"op": "made_for", **stamp}])


def test_edits_are_counted_without_that_note():
    stamp = {"op": "made_for", "codes": editing.made_on(LONG)}
    with pytest.raises(MisoError, match="Edit 1 \\(Delete\\)"):
        replay([stamp, {"op": "delete", "start": 1, "end": 20}])
    with pytest.raises(MisoError, match="Edit 2 \\(made_for\\)"):
        replay([{"op": "delete", "start": 1, "end": 2}, stamp])
    assert replay([stamp, {"op": "take", "take": 0}]).codes.batch == 1


def test_a_hundred_thousand_edits_are_refused_at_once():
    edits = [{"op": "delete", "start": 0, "end": 0}] * 100_000
    with pytest.raises(MisoError, match="100,000 edits"):
        editing.apply(make([8]), edits)
