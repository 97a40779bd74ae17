"""Layers that stay on the CPU give the same hidden states, and are not moved, counted or saved."""

from dataclasses import replace

import pytest
import torch
from make_tiny import MODEL

from miso.checkpoints.build import build, canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import Checkpoint, save_checkpoint
from miso.checkpoints.devices import Precision
from miso.checkpoints.fit import layer_bytes
from miso.errors import MisoError
from miso.generation.depth import DepthSampler
from miso.generation.loop import FrameLoop
from miso.generation.paths import pick_path
from miso.model.config import StackConfig
from miso.model.networks import Backbone, DepthDecoder

pytest.importorskip("accelerate", reason="accelerate isn't installed")

# a layer has 8 MB in fp32, everything else 3 MB
DEEP = replace(MODEL, backbone=StackConfig(6, 4, 2, 512, 1024))
PRECISIONS = [
    Precision(),
    pytest.param(Precision(torch.bfloat16), marks=pytest.mark.slow),
    Precision(weights="int8"),
    pytest.param(Precision(torch.bfloat16, "fp8"), marks=pytest.mark.slow),
    pytest.param(Precision(torch.bfloat16, "int4"), marks=pytest.mark.slow),
]


def size(module: torch.nn.Module) -> int:
    return sum(t.nbytes for t in module.state_dict().values())


def prompt_rows(config, rows: int = 40) -> torch.Tensor:
    return torch.randint(0, 64, (1, rows, config.codebooks + 1), generator=torch.Generator().manual_seed(0))


def hidden(backbone, device="cpu"):
    """Hidden states of a prompt, and of three more rows with the prompt's cache."""
    rows = prompt_rows(backbone.config).to(device)
    x = backbone.embed(rows, torch.ones_like(rows, dtype=torch.bool))
    cache, positions = backbone.transformer.cache(1, 64), torch.arange(40, device=device)
    return torch.cat((backbone(x, positions, cache), backbone(x[:, :3], positions[-3:] + 3, cache)), 1).cpu()


@torch.inference_mode()
@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: f"{p.dtype}-{p}")
def test_hidden_states_are_the_same_to_the_bit(precision):
    tensor = random_tensors(DEEP, 3)
    whole = build(Backbone, DEEP, "", tensor, device="cpu", precision=precision)
    for on_cpu in (1, 2, 6):
        split = build(Backbone, DEEP, "", tensor, device="cpu", precision=precision, on_cpu=on_cpu)
        assert torch.equal(hidden(split), hidden(whole)) and torch.equal(hidden(split), hidden(whole))
        assert split.bytes_on_cpu == on_cpu * layer_bytes(DEEP, precision)
        assert size(split) == size(whole) - split.bytes_on_cpu
    assert whole.bytes_on_cpu == 0


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path, tensor = tmp_path_factory.mktemp("offload") / "deep.safetensors", random_tensors(DEEP, 3)
    save_checkpoint(path, DEEP, {name: tensor(name) for name in canonical_shapes(DEEP)})
    return Checkpoint(path)


def test_only_the_other_layers_move(saved):
    backbone, moved = saved.load_backbone(on_cpu=2), []
    before = hidden(backbone)
    backbone._apply(lambda t: (moved.append(t), t.clone())[1])  # all ways of moving call this
    table = backbone.transformer.rope.table  # not in the state dict
    text = backbone.text_embeddings.weight.nbytes  # moves separately
    assert sum(t.nbytes for t in moved if t.shape != table.shape) == size(backbone) - text
    assert not any("layers.5" in n for n in backbone.state_dict())
    assert torch.equal(hidden(backbone), before)
    backbone.requires_grad_(False).eval()
    assert len(list(backbone.parameters())) == len(backbone.state_dict())


def test_a_run_uses_the_plain_path(saved, checkpoint, prompt, run):
    backbone, depth = checkpoint.load_backbone(on_cpu=1), DepthSampler(checkpoint.load_depth())
    loop = FrameLoop(backbone, depth, prompt, seeds=[1, 2], max_frames=8, keep_hidden=True)
    list(loop)
    same = run([1, 2], 8)
    assert loop.path == "plain"
    assert torch.equal(loop.codes.tensor, same.codes.tensor)
    # single rows of a whole model are computed in fewer operations
    assert torch.allclose(loop.hidden.tensor, same.hidden.tensor, atol=1e-5)
    for path in ("graph", "persistent"):
        with pytest.raises(MisoError, match="backbone's layers stay on the CPU"):
            pick_path(path, backbone, depth, 1)


@pytest.mark.gpu
@torch.inference_mode()
@pytest.mark.parametrize(
    "precision",
    [Precision(torch.bfloat16), Precision(torch.bfloat16, "int8"), Precision(torch.bfloat16, "int4")],
    ids=str,
)
def test_on_cuda_two_layers_less_are_in_memory(precision):
    config = replace(MODEL, backbone=StackConfig(8, 8, 2, 1024, 4096))  # 32 MB a layer in bf16
    tensor, layer = random_tensors(config, 3), layer_bytes(config, precision)

    def used() -> int:
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    def load(on_cpu):
        start = used()
        model = build(Backbone, config, "", tensor, device="cuda", precision=precision, on_cpu=on_cpu)
        return model, used() - start

    whole, whole_size = load(0)
    want = hidden(whole, "cuda")  # and the libraries allocate their workspaces
    del whole
    split, split_size = load(2)
    assert whole_size - split_size == pytest.approx(2 * layer, rel=0.05)
    before = used()
    for _ in range(3):
        torch.testing.assert_close(hidden(split, "cuda").float(), want.float(), rtol=1e-2, atol=1e-2)
    assert used() - before < 0.5 * layer  # the copied layers are freed
    split.to("cpu")
    assert before - used() == pytest.approx(split_size, rel=0.05, abs=2**20)
    split.to("cuda")
    torch.testing.assert_close(hidden(split, "cuda").float(), want.float(), rtol=1e-2, atol=1e-2)
    depth = DepthSampler(build(DepthDecoder, config, "", tensor, device="cuda", precision=precision))
    assert pick_path("auto", split, depth, 1).path == "plain"
    with pytest.raises(MisoError, match="stay on the CPU"):
        pick_path("graph", split, depth, 1)
