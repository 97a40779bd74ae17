"""The backbone of one Load Miso Model with the depth decoder of another, in ComfyUI."""

from dataclasses import replace

import pytest
from harness.graphs import graph
from make_tiny import MODEL

from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import save_checkpoint
from miso.model.config import StackConfig


@pytest.fixture
def fresh(comfy):
    comfy.reset()
    made = {
        "other.safetensors": replace(MODEL, depth=StackConfig(3, 2, 1, 32, 64)),
        "narrow.safetensors": replace(MODEL, backbone=StackConfig(2, 2, 1, 32, 80)),
    }
    paths = [comfy.base / "models" / "miso" / name for name in made]
    for path, config in zip(paths, made.values()):
        read = random_tensors(config, seed=2)
        save_checkpoint(path, config, {name: read(name) for name in canonical_shapes(config)})
    yield comfy
    for path in paths:
        path.unlink()


def pair(checkpoint: str, **changes) -> dict:
    """The depth decoder (12) of another checkpoint (8), and Depth Redecode (9) with it."""
    prompt = graph(n3__depth=["12", 0], **changes)
    prompt["5"]["inputs"]["codes"] = ["9", 0]
    redecode = {"depth": ["12", 0], "hidden": ["3", 1], "codes": ["3", 0], "seed": 3, "keep": 1}
    return prompt | {
        "8": {"class_type": "MisoLoadModel", "inputs": {"checkpoint": checkpoint, "precision": "auto"}},
        "12": {
            "class_type": "MisoDepthDecoder",
            "inputs": {"depth": ["8", 1], "temperature": 0.9, "top_k": 50, "codebooks": 32},
        },
        "9": {"class_type": "MisoDepthRedecode", "inputs": {**redecode, "temperature": 0.9, "top_k": 50}},
    }


def test_the_sampler_says_whose_decoder_it_has_and_keeps_the_pairs_codes(fresh):
    assert fresh.run(graph()).ok
    own = fresh.value(3)
    done = fresh.run(pair("other.safetensors"))
    assert done.ok, done.error
    codes = fresh.value(3)
    assert done.lines("3") == done.lines("9") == ["Depth decoder of other.safetensors."]
    assert done.outputs["3"]["miso_kept"] == [False] and not codes.tensor.equal(own.tensor)
    assert codes.source["depth_model"] and fresh.value(9).tensor.equal(codes.tensor)
    fresh.reset()
    again = fresh.run(pair("other.safetensors"))
    assert again.outputs["3"]["miso_kept"] == [True] and fresh.value(3).tensor.equal(codes.tensor)
    alone = fresh.run(pair("tiny.safetensors"))
    assert alone.ok and not alone.lines("9") and fresh.value(3).tensor.equal(own.tensor)


def test_a_decoder_that_does_not_fit_is_refused_with_both_figures(fresh):
    error = fresh.run(pair("narrow.safetensors")).error
    assert error.startswith("Backbone Sampler, depth: ") and "the width 64, the depth decoder 32" in error
