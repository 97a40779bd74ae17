"""The small blocks of code operations."""

import pytest
import torch
from harness.graphs import small_graph


@pytest.mark.parametrize(
    "kind, inputs, expected",
    [
        ("MisoDeleteCodes", {"start": 2, "frames": 3}, lambda x: torch.cat((x[:, :2], x[:, 5:]), 1)),
        ("MisoDeleteCodes", {"start": -3, "frames": 3}, lambda x: x[:, :9]),
        (
            "MisoRepeatCodes",
            {"start": -4, "frames": 2, "times": 2},
            lambda x: torch.cat((x[:, :10], x[:, 8:10], x[:, 8:10], x[:, 10:]), 1),
        ),
        (
            "MisoReplaceCodebooks",
            {"other": ["8", 0], "start": 0, "frames": 4, "first": 3, "other_start": -4},
            lambda x: torch.cat((torch.cat((x[:3, :4], x[3:, 8:])), x[:, 4:]), 1),
        ),
        ("MisoPrefix", {"frames": 5}, lambda x: x[:, :5]),
        ("MisoPrefix", {"frames": -5}, lambda x: x[:, :7]),
        (
            "MisoInsertSilence",
            {"at": 3, "frames": 20, "silence": ["8", 0]},
            lambda x: torch.cat((x[:, :3], x, x[:, :8], x[:, 3:]), 1),
        ),
    ],
)
def test_small_blocks(fresh, other, kind, inputs, expected):
    done = fresh.run(small_graph(kind, inputs))
    assert done.ok, done.error
    assert fresh.value(9).tensor[0].equal(expected(other.tensor[0]))


def test_insert_silence_makes_it_with_a_vocoder(fresh, other):
    done = fresh.run(small_graph("MisoInsertSilence", {"at": -1, "frames": 4, "vocoder": ["4", 0]}))
    assert done.ok, done.error
    edited = fresh.value(9)
    silence = fresh.module("miso.vocoders").coded_silence(fresh.value(4).loaded, 4)
    assert edited.tensor[:, :, :12].equal(other.tensor) and edited.tensor[:, :, 12:].equal(silence.tensor)


@pytest.mark.parametrize(
    "kind, inputs, words",
    [
        ("MisoDeleteCodes", {"start": 10, "frames": 3}, ["Delete Codes, frames: Use at most 2", "12 frames"]),
        ("MisoDeleteCodes", {"start": -2, "frames": 3}, ["Delete Codes, frames", "at most 2"]),
        ("MisoRepeatCodes", {"start": 0, "frames": 13, "times": 1}, ["Repeat Codes", "13"]),
        ("MisoInsertSilence", {"at": 0, "frames": 3}, ["Insert Silence", "vocoder"]),
        ("MisoInsertSilence", {"at": 13, "frames": 3, "vocoder": ["4", 0]}, ["Insert Silence, at", "13"]),
        ("MisoPrefix", {"frames": 13}, ["Prefix, frames", "13", "12 frames"]),
        (
            "MisoReplaceCodebooks",
            {"other": ["8", 0], "start": 0, "frames": 4, "first": 8, "other_start": 0},
            ["Replace Codebooks, first", "8"],
        ),
    ],
)
def test_small_blocks_explain_what_doesnt_fit(fresh, other, kind, inputs, words):
    done = fresh.run(small_graph(kind, inputs))
    assert not done.ok and all(word in done.error for word in words), done.error
