"""Load LoRA."""

import json

import pytest
import torch
from harness.graphs import graph
from make_tiny import MODEL
from safetensors.torch import save_file

from miso.checkpoints.build import canonical_shapes


@pytest.fixture
def adapter(fresh, base):
    """``adapter(*parts)``: a folder in models/miso_loras with an adapter of these parts of the tiny model."""
    folder = base / "models" / "miso_loras" / "voice"
    folder.mkdir(parents=True, exist_ok=True)

    def write(*parts: str) -> str:
        torch.manual_seed(0)
        tensors = {}
        for name, shape in canonical_shapes(MODEL).items():
            if name.startswith(parts) and name.endswith("q_proj.weight"):
                module = f"base_model.model.{name.removesuffix('.weight')}"
                tensors[f"{module}.lora_A.weight"] = torch.randn(4, shape[1])
                tensors[f"{module}.lora_B.weight"] = torch.randn(shape[0], 4)
        save_file(tensors, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 4}))
        return "voice/adapter_model.safetensors"

    yield write
    for file in folder.iterdir():
        file.unlink()


def adapted(adapter: str, strength: float, **changes) -> dict:
    inputs = {"backbone": ["1", 0], "depth": ["1", 1], "adapter": adapter, "strength": strength}
    prompt = graph(n3__backbone=["21", 0], n3__depth=["21", 1], **changes)
    return prompt | {"21": {"class_type": "MisoLoadLora", "inputs": inputs}}


def test_an_adapter_changes_what_is_said_as_much_as_it_should(fresh, adapter):
    assert fresh.run(graph()).ok
    plain, backbone = fresh.value(3).tensor, fresh.value(1)
    name = adapter("backbone", "decoder")
    done = fresh.run(adapted(name, 1.0))
    assert done.ok, done.error
    assert done.lines("21") == ["Changes 4 matrices of the backbone and the depth decoder."]
    strong = fresh.value(3).tensor
    assert not strong.equal(plain) and fresh.value(21) is not backbone
    assert fresh.run(adapted(name, 0.0)).ok
    assert fresh.value(3).tensor.equal(plain) and fresh.value(21) is fresh.value(1)
    again = fresh.run(adapted(name, 1.0))  # kept under the adapter and its strength
    assert again.outputs["3"]["miso_kept"] == [True] and fresh.value(3).tensor.equal(strong)


def test_two_adapters_in_a_row_add_up(fresh, adapter):
    name = adapter("backbone")
    assert fresh.run(adapted(name, 1.0)).ok
    once = fresh.value(3).tensor
    twice = adapted(name, 0.5)
    twice["22"] = {
        "class_type": "MisoLoadLora",
        "inputs": {**twice["21"]["inputs"], "backbone": ["21", 0], "depth": ["21", 1]},
    }
    twice["3"]["inputs"] |= {"backbone": ["22", 0], "depth": ["22", 1]}
    done = fresh.run(twice)
    assert done.ok and done.outputs["3"]["miso_kept"] == [False] and fresh.value(3).tensor.equal(once)


def test_an_adapter_of_one_part_leaves_the_other(fresh, adapter):
    assert fresh.run(adapted(adapter("decoder"), 1.0)).ok
    assert fresh.value(21) is fresh.value(1)
    assert fresh.value(21, 1).part is not fresh.value(1, 1).part
    assert fresh.value(21, 1).checkpoint == "tiny.safetensors with adapter_model.safetensors"


def test_what_cannot_be_added_is_this_blocks_error(fresh, adapter, base):
    folder = base / "models" / "miso_loras" / "voice"
    name = adapter("backbone")
    save_file({"a.lora_A.weight": torch.zeros(2, 3), "a.lora_B.weight": torch.zeros(3, 2)}, folder / name[6:])
    error = fresh.run(adapted(name, 1.0)).error
    assert error.startswith("Load LoRA, adapter: adapter_model.safetensors is for another model"), error
    (folder / name[6:]).unlink()
    assert "LoRA missing: put 'voice/adapter" in fresh.run(adapted(name, 1.0)).error
    none = fresh.run(adapted("put a LoRA into models/miso_loras", 1.0)).error
    assert none.startswith("Load LoRA, adapter: No LoRA yet: put one into ")
