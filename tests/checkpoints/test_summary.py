"""Checkpoints known from before: none of their files opened, unless they are others than they were."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from sys import addaudithook

import pytest
from make_tiny import MODEL
from safetensors.torch import load_file, save_file

from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import Checkpoint, save_checkpoint
from miso.checkpoints.summary import CheckpointSummary
from miso.errors import MisoError

_watching: list[set[str]] = []  # a hook stays for good, so that one serves all tests
addaudithook(
    lambda event, args: event == "open" and [seen.add(Path(str(args[0])).name) for seen in _watching]
)


@contextmanager
def opening():
    """The names of the files that are opened meanwhile."""
    _watching.append(set())
    try:
        yield _watching[-1]
    finally:
        _watching.pop()


def write(path, seed=1) -> None:
    tensor = random_tensors(MODEL, seed)
    save_checkpoint(path, MODEL, {name: tensor(name) for name in canonical_shapes(MODEL)})


def facts(known):
    return known.config, known.fingerprint, known.weights


@pytest.fixture
def tiny(tmp_path):
    write(tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_the_second_look_opens_no_file_of_it(tiny, tmp_path):
    with opening() as first:
        known = CheckpointSummary(tiny, tmp_path / "notes")
    with opening() as second:
        again = CheckpointSummary(tiny, tmp_path / "notes")
        encoder = again.text_encoder()
    opened = Checkpoint(tiny)
    assert (
        facts(known) == facts(again) == (opened.config, opened.fingerprint, opened.weights)
        and encoder.config == MODEL
    )
    assert "tiny.safetensors" in first and "tiny.safetensors" not in second
    with opening() as third:
        loaded = again.checkpoint.load_depth()
    assert "tiny.safetensors" in third and loaded.audio_head.equal(opened.load_depth().audio_head)


def test_another_file_under_its_name_is_another_checkpoint(tiny, tmp_path):
    before = CheckpointSummary(tiny, tmp_path / "notes")
    stat = tiny.stat()
    write(tmp_path / "other.safetensors", seed=2)
    os.utime(tmp_path / "other.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (tmp_path / "other.safetensors").replace(tiny)  # as long, and by its own account as old
    after = CheckpointSummary(tiny, tmp_path / "notes")
    assert after.fingerprint == Checkpoint(tiny).fingerprint != before.fingerprint
    assert facts(CheckpointSummary(tiny, tmp_path / "notes")) == facts(after)


def test_shards_and_the_config_beside_them_count(golden_paths, tmp_path):
    tensors, config = load_file(golden_paths[0]), Checkpoint(golden_paths[0]).config
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, tmp_path / shard, {"config": config.to_json()})
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {name: shard for shard, held in shards.items() for name in held}})
    )
    known = CheckpointSummary(index, tmp_path / "notes")
    with opening() as second:
        assert facts(CheckpointSummary(index, tmp_path / "notes")) == facts(known)
    assert not {*shards, index.name} & second
    (tmp_path / "config.json").write_text(
        "{}"
    )  # says how many heads where it is of a model that has none written down
    with opening() as third:
        assert facts(CheckpointSummary(index, tmp_path / "notes")) == facts(known)
    assert {*shards, index.name} <= third
    tensors[names[1]] = tensors[names[1]] + 1
    save_file(
        {name: tensors[name] for name in shards["b.safetensors"]},
        tmp_path / "b.safetensors",
        {"config": config.to_json()},
    )
    assert CheckpointSummary(index, tmp_path / "notes").fingerprint != known.fingerprint


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"version": "0", "files": []}', '{"files": 3}']
)
def test_a_damaged_note_is_made_anew(tiny, tmp_path, text):
    known = CheckpointSummary(tiny, tmp_path / "notes")
    (note,) = (tmp_path / "notes").iterdir()
    whole = note.read_text()
    note.write_text(text)
    assert facts(CheckpointSummary(tiny, tmp_path / "notes")) == facts(known) and note.read_text() == whole


def test_notes_are_no_condition(tiny, tmp_path):
    (tmp_path / "notes").write_text("a file where the folder should be")
    assert CheckpointSummary(tiny, tmp_path / "notes").config == MODEL


def test_what_is_no_checkpoint_is_said_and_not_noted(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x02no")
    with pytest.raises(MisoError, match="pickle"):
        CheckpointSummary(tmp_path / "bad.safetensors", tmp_path / "notes")
    assert not (tmp_path / "notes").exists()


def test_weights_of_another_checkpoint_are_not_loaded_as_this_one(tiny, tmp_path):
    CheckpointSummary(tiny, tmp_path / "notes")
    known = CheckpointSummary(tiny, tmp_path / "notes")
    write(tiny, seed=2)
    with pytest.raises(MisoError, match="another checkpoint"):
        known.checkpoint  # noqa: B018
    assert (
        CheckpointSummary(tiny, tmp_path / "notes")
        .checkpoint.tensor("audio_head")
        .equal(random_tensors(MODEL, 2)("audio_head"))
    )
