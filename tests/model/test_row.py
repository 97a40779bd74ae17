"""Products of few rows on a CPU, and single rows through a transformer, are those of the plain modules."""

import pytest
import torch
from torch import nn

from miso.model.config import StackConfig
from miso.model.packed import PackedLinear, pack, pack_matrix
from miso.model.row import RowStep
from miso.model.transformer import Transformer

STACK = StackConfig(layers=3, heads=4, kv_heads=2, dim=64, inter=96)
KERNEL = pytest.mark.skipif(
    pack_matrix(torch.ones(8, 8)) is None, reason="this processor has no kernel for matrices in fp16"
)


def halves(module: nn.Module) -> nn.Module:
    """The module with weights that fp16 can hold."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half().float())
    return module


def stack(seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    transformer = Transformer(STACK, positions=64, rope_base=10_000.0, norm_eps=1e-5)
    with torch.no_grad():
        for norm in (layer.sa_norm for layer in transformer.layers):
            norm.scale.normal_(1, 0.2)
    return halves(transformer).eval()


def plain(transformer: Transformer, x: torch.Tensor, rows: int) -> torch.Tensor:
    """The last rows, each after those before it, by the modules themselves."""
    cache = transformer.cache(len(x), 64)
    with torch.enable_grad():  # a trained network is never packed
        return torch.cat(
            [transformer(x[:, i : i + 1], torch.tensor([i]), cache, i + 1).detach() for i in range(rows)], 1
        )


@pytest.mark.parametrize("batch", [1, 3])
def test_single_rows_are_those_of_the_modules(batch):
    transformer, x = stack(), torch.randn(batch, 12, 64)
    wanted = plain(transformer, x, 12)
    cache = transformer.cache(batch, 64)
    with torch.inference_mode():
        together = transformer(x[:, :8], torch.arange(8), cache, 8)
        rows = [transformer(x[:, i : i + 1], torch.tensor([i]), cache, i + 1) for i in range(8, 10)]
        two = transformer(x[:, 10:], torch.arange(10, 12), cache, 12)
        assert isinstance(transformer._steps[0], RowStep)
    assert torch.allclose(torch.cat((together, *rows, two), 1), wanted, atol=1e-5)


def test_rows_follow_weights_that_change_or_move():
    transformer, x = stack(), torch.randn(1, 1, 64)

    def row() -> torch.Tensor:
        with torch.inference_mode():
            return transformer(x, torch.tensor([0]), transformer.cache(1, 64), 1)

    first = row()
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.mul_(0.5)
    changed = row()
    assert not torch.allclose(first, changed)
    assert torch.allclose(changed, plain(transformer, x, 1), atol=1e-5)
    with torch.no_grad():
        twice = {name: 2 * tensor for name, tensor in transformer.state_dict().items()}
    transformer.load_state_dict(twice, assign=True)
    assert torch.allclose(row(), plain(transformer, x, 1), atol=1e-5)
    changed = row()
    transformer.double().float()
    assert transformer._steps == [] and torch.equal(row(), changed)


def test_each_sequence_may_be_at_a_place_of_its_own():
    transformer, x = stack(), torch.randn(2, 6, 64)
    wanted = [plain(transformer, x[i : i + 1], 6)[0] for i in range(2)]
    cache = transformer.cache(2, 64)
    with torch.inference_mode():
        transformer(x[:1, :3], torch.arange(3), cache.takes(0, 1), 3)
        for step in range(3):  # the first sequence is three rows ahead
            places = torch.tensor([[3 + step], [step]])
            rows = torch.stack((x[0, 3 + step], x[1, step]))[:, None]
            y = transformer(rows, places, cache, 4 + step)
            assert torch.allclose(y[0, 0], wanted[0][3 + step], atol=1e-5)
            assert torch.allclose(y[1, 0], wanted[1][step], atol=1e-5)


def test_other_dtypes_go_through_the_modules():
    half, x = stack().bfloat16(), torch.randn(2, 1, 64)
    with torch.inference_mode():
        half(x.bfloat16(), torch.tensor([0]), half.cache(2, 64))
    assert half._steps == [None]


@KERNEL
@torch.inference_mode()
def test_linear_layers_are_packed_where_fp16_holds_them():
    torch.manual_seed(0)
    linear = halves(nn.Linear(40, 30))
    network = pack(nn.Sequential(linear, nn.GELU()))
    packed, x = network[0], torch.randn(5, 40)
    assert isinstance(packed, PackedLinear) and packed.state_dict().keys() == linear.state_dict().keys()
    assert torch.allclose(packed(x), linear(x), atol=1e-5) and packed.packed._packed is not None
    many = torch.randn(200, 40)
    assert torch.equal(packed(many), linear(many))
    other = pack(nn.Sequential(nn.Linear(40, 30)))[0]  # of a trained network in fp32
    assert torch.equal(other(x), nn.functional.linear(x, other.weight, other.bias))
    assert other.packed._packed is None
    assert pack_matrix(torch.full((8, 8), torch.nan)) is None
    small = torch.full((8, 8), 1e-9)  # below fp16's least number
    assert pack_matrix(small) is None and pack_matrix(small.index_fill(0, torch.tensor([0]), 1.0)) is not None


def test_gradients_pass_a_packed_layer():
    packed = pack(nn.Sequential(halves(nn.Linear(8, 8))))[0]
    packed(torch.randn(2, 8)).sum().backward()
    assert packed.weight.grad is not None
