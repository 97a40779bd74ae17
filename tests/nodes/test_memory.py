"""Weights in ComfyUI's memory management."""

import gc
import weakref
from contextlib import contextmanager

import pytest
import torch
from harness.graphs import graph


def test_weights_are_comfyuis_to_unload(fresh):
    """What is unloaded is gone, and read from the file again when it is needed."""
    assert fresh.run(graph(n3__keep=False)).ok
    before, backbone, depth = fresh.value(3).tensor, fresh.value(1), fresh.value(1, 1).part
    modules = [weakref.ref(part.loaded) for part in (backbone, depth)]
    sizes = [part.loaded_size() for part in (backbone, depth)]
    assert sizes == [part.model_size() for part in (backbone, depth)] and min(sizes) > 0
    backbone.loaded.kept_frame = (backbone.loaded,)  # as a recorded frame, which refers to the backbone
    with no_collection():
        fresh.model_management.unload_all_models()
        assert [module() for module in modules] == [None, None]
    assert backbone.loaded_size() == depth.loaded_size() == 0 < depth.model_size() < backbone.model_size()
    assert fresh.run(graph(n3__keep=False, n3__seed=4)).ok and fresh.run(graph(n3__keep=False)).ok
    assert fresh.value(1) is backbone and fresh.value(3).tensor.equal(before)


def test_weights_go_with_the_block_that_loaded_them(fresh):
    """At once, so that the next model finds the memory: not when Python collects its garbage."""
    assert fresh.run(graph(n3__keep=False)).ok
    part = fresh.module("nodes.memory").Part(fresh.value(1)._load)
    backbone = part.opened()
    backbone.kept_frame, gone = (backbone,), weakref.ref(backbone)
    with no_collection():
        del part, backbone
        assert gone() is None


@pytest.mark.parametrize("times", [1, 2])
def test_a_block_without_memory_runs_once_more_with_nothing_else_loaded(fresh, monkeypatch, times):
    loop = fresh.module("miso.generation.loop").FrameLoop
    prefill, failures, loaded = loop.prefill, [], []

    def fail(self, state):
        loaded.append(len(fresh.model_management.current_loaded_models))
        if len(failures) < times:
            failures.append(1)
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return prefill(self, state)

    assert fresh.run(graph(n3__keep=False)).ok  # the vocoder is loaded too, now
    want = fresh.value(3).tensor
    monkeypatch.setattr(loop, "prefill", fail)
    done = fresh.run(graph(n3__keep=False, n3__max_seconds=0.72))
    assert loaded[0] > loaded[1] == 2  # backbone and depth decoder
    if times == 1:
        assert done.ok and fresh.value(3).tensor.equal(want[:, :, :9])
    else:
        assert done.error.startswith("Backbone Sampler: The GPU's memory ran out, even with all other")


@contextmanager
def no_collection():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_two_loaders_of_one_checkpoint_share_its_weights(fresh):
    """Also where one of them chose the precision itself."""
    prompt = graph(n3__keep=False)
    prompt["21"] = {
        "class_type": "MisoLoadModel",
        "inputs": {**prompt["1"]["inputs"], "precision": "fp32"},
    }
    prompt["3"]["inputs"]["depth"] = ["21", 1]
    assert fresh.run(prompt).ok
    assert fresh.value(21) is fresh.value(1) and fresh.value(21, 1).part is fresh.value(1, 1).part


class OnAGpu(torch.nn.Linear):
    """Weights that say where they were moved."""

    moves: list

    def to(self, device):
        self.moves.append(device)
        return self


@pytest.mark.parametrize("keep", [True, False])
def test_small_weights_move_to_the_cpu_when_they_are_unloaded(fresh, keep):
    memory, loads = fresh.module("nodes.memory"), []

    def load(progress, device):
        loads.append(OnAGpu(4, 4))
        loads[-1].moves = []
        return loads[-1]

    part = memory.Part(load, size=lambda: 80, keep=keep)
    part.load_device = torch.device("meta")  # stands for a GPU
    part.load(part.load_device)
    assert part.loaded_size() == part.model_size() == 80
    part.detach()
    assert part.loaded_size() == 0 and part.model_size() == 80
    assert loads[0].moves == [part.offload_device] * keep
    assert part.opened() is (loads[0] if keep else loads[1])


def test_loaded_weights_are_no_inference_tensors(fresh):
    """Blocks run in inference mode; a CUDA graph and the persistent kernel change tensors in place."""
    assert fresh.run(graph(n3__keep=False)).ok
    assert not any(tensor.is_inference() for tensor in fresh.value(1).loaded.state_dict().values())


def test_a_backbone_with_layers_on_the_cpu_is_unloaded_and_runs_again(fresh):
    """ComfyUI is told what moves, and what stays counts as RAM."""
    pytest.importorskip("accelerate", reason="accelerate isn't installed")
    assert fresh.run(graph(n3__keep=False)).ok
    before, whole = fresh.value(3).tensor, fresh.value(1)
    checkpoint = fresh.module("miso.checkpoints").Checkpoint(fresh.base / "models/miso/tiny.safetensors")
    part = fresh.module("nodes.memory").Part(
        lambda progress, device: checkpoint.load_backbone(device, progress=progress, on_cpu=1),
        fingerprint=whole.fingerprint,
        precision=whole.precision,
    )
    assert part.get_ram_usage() == 0
    on_cpu = part.opened().bytes_on_cpu
    size = part.model_size()
    assert size + on_cpu == whole.model_size() == part.get_ram_usage() and on_cpu > 0
    # the same graph with this part in the place of the loader's
    fresh.replace(1, part)
    for seed in (4, 3):
        assert fresh.run(graph(n3__keep=False, n3__seed=seed)).ok and fresh.value(1) is part
        loaded = [m.model for m in fresh.model_management.current_loaded_models if m.model is part]
        assert len(loaded) == 1 and loaded[0].loaded_size() == size
        fresh.model_management.unload_all_models()
        assert part.loaded_size() == 0
    assert fresh.value(3).tensor.equal(before)
