"""Numbers in other precisions: how they are rounded, and what networks compute with them."""

from dataclasses import replace

import pytest
import torch
from closeness import relative
from make_tiny import MODEL

from miso.checkpoints.build import build, canonical_shapes, random_tensors
from miso.checkpoints.devices import Precision
from miso.checkpoints.quantize import Quantized, quantize
from miso.checkpoints.quantized_linear import QuantizedLinear, unquantized
from miso.model.config import StackConfig
from miso.model.networks import Backbone, DepthDecoder

# wide enough for rounding errors to average as they do in a real model
WIDE = replace(MODEL, backbone=StackConfig(6, 4, 2, 512, 1408), depth=StackConfig(4, 4, 2, 256, 704))


@torch.inference_mode()
@pytest.mark.parametrize(
    "precision, most",
    [
        pytest.param(Precision(torch.bfloat16), 1e-2, marks=pytest.mark.slow),
        (Precision(weights="int8"), 3e-2),
        pytest.param(Precision(torch.bfloat16, "int8"), 3e-2, marks=pytest.mark.slow),
        (Precision(weights="fp8"), 8e-2),
        pytest.param(Precision(torch.bfloat16, "fp8"), 8e-2, marks=pytest.mark.slow),
        (Precision(weights="int4"), 0.25),
    ],
)
def test_logits_stay_close_to_fp32(precision, most):
    """For random weights, which are more evenly distributed than trained ones."""
    tensor = random_tensors(WIDE, 3)
    rows = torch.randint(0, 64, (1, 60, 9), generator=torch.Generator().manual_seed(0))
    hidden, logits = {}, {}
    for p in (Precision(), precision):
        backbone, depth = (
            build(kind, WIDE, "", tensor, device="cpu", precision=p) for kind in (Backbone, DepthDecoder)
        )
        hidden[p] = backbone(backbone.embed(rows, torch.ones_like(rows, dtype=torch.bool)))
        logits[p] = (
            backbone.codebook0_head(hidden[p]),
            depth.teacher_forced(hidden[Precision()][0].to(p.dtype), rows[0, :, :8]),
        )
    for got, want in zip(logits[precision], logits[Precision()]):
        assert 0 < relative(got, want) < most


@pytest.mark.parametrize("kind, error", [("int8", 0.0060), ("fp8", 0.0265)])
def test_quantising_rounds_to_nearest(kind, error):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(30, 200, generator=generator) * torch.logspace(-6, 3, 30)[:, None]
    weight[7] = 0
    q = quantize(weight, kind)
    back = q.dequantize()
    if kind == "int8":  # in groups, of which the last is incomplete
        half = q.scale.float().repeat_interleave(64, 1)[:, :200] * 0.5001
    else:  # 3 bits of mantissa, and steps of 2 ** -9 near 0; the result quantises to itself
        half = torch.maximum(weight.abs() / 16, q.scale[:, None] / 1024) * 1.0001
        assert torch.equal(quantize(back, kind).weight.view(torch.uint8), q.weight.view(torch.uint8))
    assert q.kind == kind and ((back - weight).abs() <= half).all() and back[7].eq(0).all()
    normal = torch.randn(256, 4096, generator=torch.Generator().manual_seed(1))
    assert relative(quantize(normal, kind).dequantize(), normal) == pytest.approx(error, rel=0.05)


def test_1152_int8_steps_are_exact_in_fp16():
    """The persistent kernel subtracts them. No weight needs more than 127 steps."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(64, 1024, generator=generator) * torch.logspace(-3, 0, 64)[:, None]
    q = quantize(weight, "int8")
    assert torch.equal((1152 * q.scale).double(), 1152 * q.scale.double())
    largest = weight.unflatten(1, (-1, 64)).abs().amax(2)
    assert (largest <= 127 * q.scale.float() * (1 + 1e-6)).all() and q.weight.abs().max() == 127


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_fp8_in_a_product(dtype):
    """Conversion to each dtype is exact, so that the product is that of the stored numbers."""
    q = quantize(torch.randn(48, 64, generator=torch.Generator().manual_seed(0)), "fp8")
    assert q.weight.dtype == torch.float8_e4m3fn and q.scale.dtype == torch.float32
    assert q.weight.float().abs().amax(1).eq(448).all() and q.weight.to(dtype).float().equal(q.weight.float())
    linear = QuantizedLinear(64, 48, "fp8")
    linear.load_state_dict({"weight": q.weight, "scale": q.scale})
    product = linear(torch.eye(64, dtype=dtype)).T
    assert torch.allclose(product, q.dequantize(dtype), rtol=2 * torch.finfo(dtype).eps)


def test_int4_by_hand():
    """One row of two groups: the position of each column's nibble, and its value."""
    weight = torch.zeros(1, 64, dtype=torch.uint8)
    weight[0, 3], weight[0, 32 + 5] = 0x2 | 0x9 << 4, 0xF | 0x1 << 4
    q = Quantized(weight, torch.tensor([[0.5, 2.0]]).half(), torch.tensor([[1.0, 3.5]]).half())
    value = q.dequantize()[0]
    assert value[3] == (2 - 1) * 0.5 and value[32 + 3] == (9 - 1) * 0.5 and value[0] == -0.5
    assert value[64 + 5] == (15 - 3.5) * 2 and value[64 + 32 + 5] == (1 - 3.5) * 2 and value[64] == -7
    linear = QuantizedLinear(128, 1, "int4")
    linear.load_state_dict(q._asdict())
    assert torch.allclose(linear(torch.eye(128))[:, 0], value)


@pytest.mark.parametrize("tails", [False, True])
def test_int4_is_better_than_rounding(tails):
    torch.manual_seed(0)
    heavy_tailed = torch.distributions.StudentT(4.0)
    weight = (heavy_tailed.sample((256, 1024)) if tails else torch.randn(256, 1024)) * 0.02
    weight[3, :64], weight[4, 64:128] = 0, -0.3
    groups = weight.unflatten(1, (-1, 64))
    low, high = groups.aminmax(dim=2, keepdim=True)
    step = ((high - low) / 15).clamp(min=1e-9)
    rounded = (((groups - low) / step).round() * step + low).flatten(1)
    back = quantize(weight, "int4").dequantize()
    assert (back - weight).square().mean() < 0.9 * (rounded - weight).square().mean()
    assert back[3, :64].eq(0).all() and torch.allclose(back[4, 64:128], weight[4, 64:128], rtol=1e-3)
    x = torch.randn(64, 1024)
    assert relative(x @ back.T, x @ weight.T) < relative(x @ rounded.T, x @ weight.T)


@pytest.mark.gpu
@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_a_gpu_quantises_as_the_cpu_does(weights):
    """To the rounding of the fitting."""
    tensor, precision = random_tensors(MODEL, 1), Precision(torch.bfloat16, weights)
    here, there = (build(Backbone, MODEL, "", tensor, device=d, precision=precision) for d in ("cpu", "cuda"))
    for (name, want), got in zip(here.state_dict().items(), there.state_dict().values()):
        assert got.dtype == want.dtype, name
        if want.dtype == torch.int8 or want.dtype == torch.uint8:
            assert (got.cpu() == want).float().mean() > 0.99, name


@pytest.mark.parametrize("weights", ["int8", "int4", "fp8"])
def test_a_network_without_quantised_matrices_computes_the_same(weights):
    """What the graph path does to the depth decoder. All other tensors are shared, and the original stays."""
    depth = build(
        DepthDecoder, MODEL, "", random_tensors(MODEL, 1), device="cpu", precision=Precision(weights=weights)
    )
    whole = unquantized(depth, torch.float32)
    hidden, codes = torch.randn(3, MODEL.backbone.dim), torch.randint(MODEL.codebook_size, (3, 2))
    got, want = (net.transformer(net.start(hidden, codes)) for net in (whole, depth))
    assert torch.allclose(got, want, atol=1e-5)
    assert whole.code_table is depth.code_table
    assert not any(isinstance(module, QuantizedLinear) for module in whole.modules())
    assert any(isinstance(module, QuantizedLinear) for module in depth.modules())


def test_a_cpu_holds_quantised_matrices_as_fp16_does():
    tensor = random_tensors(WIDE, 3)
    read = {
        name: quantize(tensor(name)) if len(s) == 2 else tensor(name)
        for name, s in canonical_shapes(WIDE).items()
    }
    backbone = build(Backbone, WIDE, "", lambda name: read[name], device="cpu")
    matrix = backbone.transformer.layers[0].mlp.w1.weight
    assert matrix.dtype == torch.float32 and torch.equal(matrix, matrix.half().float())
    assert relative(matrix, read["backbone.layers.0.mlp.w1.weight"].dequantize()) < 3e-4
