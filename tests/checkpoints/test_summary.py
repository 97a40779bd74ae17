"""Summaries of checkpoints: no file is opened again unless it has changed."""

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

_watching: list[set[str]] = []  # an audit hook can't be removed, so that one serves all tests
addaudithook(
    lambda event, args: event == "open" and [seen.add(Path(str(args[0])).name) for seen in _watching]
)


@contextmanager
def opening():
    """The set of names of files that are opened inside the block."""
    _watching.append(set())
    try:
        yield _watching[-1]
    finally:
        _watching.pop()


def write(path, seed=1) -> None:
    tensor = random_tensors(MODEL, seed)
    save_checkpoint(path, MODEL, {name: tensor(name) for name in canonical_shapes(MODEL)})


def facts(summary):
    return summary.config, summary.fingerprint, summary.weights


@pytest.fixture
def tiny(tmp_path):
    write(tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_the_second_summary_does_not_open_the_checkpoint(tiny, tmp_path):
    with opening() as first:
        summary = CheckpointSummary(tiny, tmp_path / "notes")
    with opening() as second:
        from_note = CheckpointSummary(tiny, tmp_path / "notes")
        encoder = from_note.text_encoder()
    opened = Checkpoint(tiny)
    assert facts(summary) == facts(from_note) == facts(opened) and encoder.config == MODEL
    assert "tiny.safetensors" in first and "tiny.safetensors" not in second
    with opening() as third:
        loaded = from_note.checkpoint.load_depth()
    assert "tiny.safetensors" in third and loaded.audio_head.equal(opened.load_depth().audio_head)


def test_a_replaced_file_is_noticed(tiny, tmp_path):
    before = CheckpointSummary(tiny, tmp_path / "notes")
    stat = tiny.stat()
    write(tmp_path / "other.safetensors", seed=2)
    os.utime(tmp_path / "other.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (tmp_path / "other.safetensors").replace(tiny)  # same size, same mtime
    after = CheckpointSummary(tiny, tmp_path / "notes")
    assert after.fingerprint == Checkpoint(tiny).fingerprint != before.fingerprint
    assert facts(CheckpointSummary(tiny, tmp_path / "notes")) == facts(after)


def test_changes_of_shards_and_config_json_are_noticed(golden_paths, tmp_path):
    tensors, config = load_file(golden_paths[0]), Checkpoint(golden_paths[0]).config
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}

    def write_shard(shard):
        content = {name: tensors[name] for name in shards[shard]}
        save_file(content, tmp_path / shard, {"config": config.to_json()})

    for shard in shards:
        write_shard(shard)
    index = tmp_path / "model.safetensors.index.json"
    weight_map = {name: shard for shard, content in shards.items() for name in content}
    index.write_text(json.dumps({"weight_map": weight_map}))
    summary = CheckpointSummary(index, tmp_path / "notes")
    with opening() as second:
        assert facts(CheckpointSummary(index, tmp_path / "notes")) == facts(summary)
    assert not {*shards, index.name} & second
    (tmp_path / "config.json").write_text("{}")  # would give the head counts of a model without config
    with opening() as third:
        assert facts(CheckpointSummary(index, tmp_path / "notes")) == facts(summary)
    assert {*shards, index.name} <= third
    tensors[names[1]] = tensors[names[1]] + 1
    write_shard("b.safetensors")
    assert CheckpointSummary(index, tmp_path / "notes").fingerprint != summary.fingerprint


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"version": "0", "files": []}', '{"files": 3}']
)
def test_a_damaged_note_is_replaced(tiny, tmp_path, text):
    summary = CheckpointSummary(tiny, tmp_path / "notes")
    (note,) = (tmp_path / "notes").iterdir()
    whole = note.read_text()
    note.write_text(text)
    assert facts(CheckpointSummary(tiny, tmp_path / "notes")) == facts(summary) and note.read_text() == whole


def test_a_folder_that_cant_be_written_is_no_error(tiny, tmp_path):
    (tmp_path / "notes").write_text("a file where the folder should be")
    assert CheckpointSummary(tiny, tmp_path / "notes").config == MODEL


def test_there_is_no_note_for_a_bad_file(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x02no")
    with pytest.raises(MisoError, match="pickle"):
        CheckpointSummary(tmp_path / "bad.safetensors", tmp_path / "notes")
    assert not (tmp_path / "notes").exists()


def test_weights_of_a_replaced_checkpoint_are_not_loaded(tiny, tmp_path):
    CheckpointSummary(tiny, tmp_path / "notes")
    summary = CheckpointSummary(tiny, tmp_path / "notes")
    write(tiny, seed=2)
    with pytest.raises(MisoError, match="another checkpoint"):
        summary.checkpoint  # noqa: B018
    reopened = CheckpointSummary(tiny, tmp_path / "notes").checkpoint
    assert reopened.tensor("audio_head").equal(random_tensors(MODEL, 2)("audio_head"))
