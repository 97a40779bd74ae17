"""Checkpoints in several files, as people download them."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from miso.checkpoints.checkpoint import Checkpoint
from miso.errors import MisoError


@pytest.fixture
def split(golden_paths, tmp_path):
    """``split(names)`` writes the golden model in as many files; their paths."""
    tensors = load_file(golden_paths[0])
    config = {"config": Checkpoint(golden_paths[0]).metadata["config"]}

    def write(names):
        keys = sorted(tensors)
        for i, name in enumerate(names):
            save_file({key: tensors[key] for key in keys[i :: len(names)]}, tmp_path / name, config)
        return [tmp_path / name for name in names]

    return write


def shard_names(stem, count=3):
    return [f"{stem}-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]


@pytest.mark.parametrize("stem", ["model", "transformers"])
def test_shards_without_an_index(golden_paths, split, tmp_path, stem):
    files = split(shard_names(stem))
    whole = Checkpoint(golden_paths[0])
    for path in (tmp_path, *files):
        opened = Checkpoint(path)
        assert opened.fingerprint == whole.fingerprint and set(opened.sources) >= set(files)


def test_an_index_of_any_name(golden_paths, split, tmp_path):
    files = split(["a.safetensors", "b.safetensors"])
    weight_map = {name: file.name for file in files for name in load_file(file)}
    index = tmp_path / "transformers.safetensors.index.json"  # as CSM's own repository has it
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert Checkpoint(tmp_path).fingerprint == Checkpoint(golden_paths[0]).fingerprint


def test_a_missing_shard_is_named(split):
    first, second, _ = split(shard_names("model"))
    second.unlink()
    with pytest.raises(MisoError, match="one of 3 files, and model-00002-of-00003.safetensors is"):
        Checkpoint(first)


def test_a_lora_adapter_is_called_one(tmp_path):
    layer = "base_model.model.backbone.layers.0.attn.q_proj"
    factors = {f"{layer}.lora_A.weight": torch.zeros(4, 8), f"{layer}.lora_B.weight": torch.zeros(8, 4)}
    save_file(factors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(MisoError, match="is a LoRA adapter, not a checkpoint"):
        Checkpoint(tmp_path / "adapter_model.safetensors")
