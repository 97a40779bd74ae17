"""LoRA adapters."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from miso.checkpoints.build import canonical_shapes
from miso.checkpoints.checkpoint import Checkpoint
from miso.checkpoints.devices import Precision
from miso.checkpoints.layouts import LAYOUTS
from miso.checkpoints.lora import AdaptedCheckpoint, Adapter
from miso.checkpoints.quantize import quantize
from miso.errors import MisoError
from miso.model.networks import Backbone, DepthDecoder

PUBLISHED, TRANSFORMERS = LAYOUTS
RANK, ALPHA = 3, 12.0
CHANGED = [
    "backbone.layers.0.attn.q_proj.weight",
    "backbone.layers.1.attn.k_proj.weight",
    "backbone.layers.1.mlp.w2.weight",
    "codebook0_head.weight",
    "decoder.layers.0.attn.q_proj.weight",
    "projection.weight",
]


@pytest.fixture
def plain(golden_paths):
    return Checkpoint(golden_paths[0])


@pytest.fixture
def write(plain, tmp_path):
    """``write(layout, names, **settings)``: an adapter of random matrices, and what it adds, by name."""

    def write(layout=PUBLISHED, names=CHANGED, **settings):
        torch.manual_seed(0)
        tensors, added = {}, {}
        shapes = canonical_shapes(plain.config)
        for name in names:
            (outputs, inputs), source = shapes[name], layout.sources(name)[0].removesuffix(".weight")
            a, b = torch.randn(RANK, inputs), torch.randn(outputs, RANK)
            tensors[f"base_model.model.{source}.lora_A.weight"] = a
            tensors[f"base_model.model.{source}.lora_B.weight"] = b
            head = (plain.config.depth if name.startswith("decoder.") else plain.config.backbone).head_dim
            added[name] = layout.convert(name, b @ a, head)
        path = tmp_path / "adapter_model.safetensors"
        save_file(tensors, path)
        if settings:
            (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
        return path, added

    return write


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_an_adapter_is_added_to_the_matrices_it_was_trained_for(plain, write, layout):
    """In whatever layout it was trained, rows of q and k in their order; and to nothing else."""
    path, added = write(layout, lora_alpha=ALPHA)
    adapted = AdaptedCheckpoint(plain, ((Adapter(path, plain.config), 0.5),))
    for name in canonical_shapes(plain.config):
        want = plain.tensor(name).float() + 0.5 * ALPHA / RANK * added.get(name, 0)
        assert torch.allclose(adapted.tensor(name).float(), want, atol=1e-5), name


def test_the_networks_are_those_of_the_merged_checkpoint(plain, write, golden_paths, tmp_path):
    path, added = write(lora_alpha=ALPHA)
    tensors = load_file(golden_paths[0])
    for name, change in added.items():
        tensors[name] = tensors[name] + ALPHA / RANK * change
    save_file(tensors, tmp_path / "merged.safetensors", {"config": plain.metadata["config"]})
    merged = Checkpoint(tmp_path / "merged.safetensors")
    adapted = AdaptedCheckpoint(plain, ((Adapter(path, plain.config), 1.0),))
    for load in ("load_backbone", "load_depth"):
        for precision in (Precision(), Precision(weights="int8")):
            want, got = (getattr(c, load)(precision=precision).state_dict() for c in (merged, adapted))
            for name in want:
                assert torch.allclose(got[name].float(), want[name].float(), atol=1e-4), name


def test_stored_quantised_matrices_are_changed_too(plain, write):
    path, added = write(lora_alpha=ALPHA)
    name = CHANGED[0]
    stored = quantize(plain.tensor(name))
    changed = Adapter(path, plain.config).added(name, stored, 1.0)
    assert torch.allclose(changed, stored.dequantize() + ALPHA / RANK * added[name], atol=1e-5)


def test_alpha(plain, write):
    def scale(**settings):
        adapter = Adapter(write(**settings)[0], plain.config)
        return adapter.changes[CHANGED[0]].scale, adapter.alpha_known

    assert scale() == (1.0, False)
    assert scale(lora_alpha=6) == (2.0, True)
    assert scale(lora_alpha=6, use_rslora=True) == (6 / math.sqrt(RANK), True)
    assert scale(lora_alpha=6, alpha_pattern={"layers.0.attn.q_proj": 9}) == (3.0, True)


def test_fingerprints_tell_adapted_networks_apart(plain, write):
    adapter = Adapter(write(names=CHANGED[:3], lora_alpha=ALPHA)[0], plain.config)
    strong, weak, off = (AdaptedCheckpoint(plain, ((adapter, s),)) for s in (1.0, 0.5, 0.0))
    prints = [c.fingerprint_of(Backbone) for c in (plain, strong, weak)]
    assert len(set(prints)) == 3 and off.fingerprint_of(Backbone) == plain.fingerprint == off.fingerprint
    assert strong.fingerprint_of(DepthDecoder) == plain.fingerprint  # it changes nothing there
    assert strong.load_backbone().fingerprint == prints[1]
    assert adapter.changes_network(Backbone) and not adapter.changes_network(DepthDecoder)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tensors: tensors.clear(), "is not a LoRA adapter"),
        (lambda tensors: tensors.update({"base_model.model.x.lora_A.weight": torch.zeros(1)}), "no .*x"),
        (lambda tensors: tensors.update({"a.lora_magnitude_vector": torch.zeros(1)}), "no LoRA matrix"),
        (lambda tensors: tensors.update({k: v[:, :4] for k, v in tensors.items() if "_A" in k}), "size"),
        (lambda tensors: tensors.pop(next(k for k in tensors if "lora_B" in k)), "another model"),
    ],
)
def test_other_files_are_refused(plain, write, change, message):
    path, _ = write(lora_alpha=ALPHA)
    tensors = load_file(path)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(MisoError, match=message):
        Adapter(path, plain.config)


@pytest.mark.parametrize(
    "settings", ["[]", '{"lora_alpha": "x"}', "{", '{"lora_alpha": 1, "use_dora": true}']
)
def test_settings_that_cannot_be_used_are_refused(plain, write, settings):
    path, _ = write()
    path.with_name("adapter_config.json").write_text(settings)
    with pytest.raises(MisoError) as error:
        Adapter(path, plain.config)
    assert error.value.input == "adapter"


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"lora_alpha": "x"}, "lora_alpha = 'x'"),
        ({"lora_alpha": 1e300}, "lora_alpha"),
        ({"lora_alpha": 1, "alpha_pattern": [1]}, "alpha_pattern"),
        ({"lora_alpha": 1, "alpha_pattern": {"q_proj": None}}, "q_proj = None"),
        ({"lora_alpha": 1, "alpha_pattern": {"(a+)+$": 1}}, r"alpha_pattern has '\(a"),
        ({"lora_alpha": 1, "alpha_pattern": {".*.*.*x": 1}}, "alpha_pattern has"),
        ([1], "adapter_config.json"),
    ],
)
def test_settings_that_no_adapter_has(plain, write, tmp_path, settings, words):
    path, _ = write()
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(MisoError, match=words):
        Adapter(path, plain.config)


def test_matrices_that_are_none(plain, tmp_path):
    prefix = "base_model.model.backbone.layers.0.attn.q_proj.lora_"
    for shape, dtype in (((3,), torch.float32), ((0, 64), torch.float32), ((3, 64), torch.int8)):
        tensors = {f"{prefix}{side}.weight": torch.zeros(shape, dtype=dtype) for side in "AB"}
        save_file(tensors, tmp_path / "a.safetensors")
        with pytest.raises(MisoError, match="no two matrices"):
            Adapter(tmp_path / "a.safetensors", plain.config)
