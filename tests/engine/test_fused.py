"""The fused kernels against plain PyTorch: on the CPU through Triton's interpreter, where there is CUDA on the GPU."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

GPU = torch.cuda.is_available()
if not GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported
pytest.importorskip("triton", reason="Triton isn't installed")
DEVICE = "cuda" if GPU else "cpu"

from miso.config import PRESETS, StackConfig  # noqa: E402
from miso.depth import DepthSampler  # noqa: E402
from miso.devices import Precision  # noqa: E402
from miso.fused.attention import Attention  # noqa: E402
from miso.fused.draw import Drawing  # noqa: E402
from miso.fused.matvec import Launcher, Matrix  # noqa: E402
from miso.fused.step import FusedFrame  # noqa: E402
from miso.graph import GraphFrame  # noqa: E402
from miso.model import Backbone, DepthDecoder  # noqa: E402
from miso.quantize import QuantizedLinear, quantize  # noqa: E402
from miso.sampling import Sampling, draw, uniforms  # noqa: E402
from miso.step import FrameState, PlainFrame  # noqa: E402
from miso.transformer import Rope  # noqa: E402
from miso.weights import build, random_tensors  # noqa: E402

SMALL = replace(PRESETS["nano"], backbone=StackConfig(1, 4, 2, 128, 192), depth=StackConfig(1, 4, 2, 64, 128), audio_vocab=35, codebooks=4,
                codebook_size=32, positions=512, text_vocab=40)
EPS = 1e-5


def linear(n: int, k: int, held: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A layer held that way, and the weight [n, k] that it stands for."""
    weight = torch.randn(n, k, device=DEVICE) * k ** -0.5
    if held in ("int8", "int4"):
        q, module = quantize(weight, held), QuantizedLinear(k, n, held).to(DEVICE)
        module.load_state_dict({f: t for f, t in q._asdict().items() if t is not None})
        return module, q.dequantize()
    module = torch.nn.Linear(k, n, bias=False, device=DEVICE, dtype=getattr(torch, held))
    with torch.no_grad():
        module.weight.copy_(weight)
    return module, module.weight.detach().float()


def normed(x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.rms_norm(x, g.shape, g.float(), EPS)


def check(got: torch.Tensor, want: torch.Tensor, rows: int = 1) -> None:
    assert not got.isnan().any(), "not all of it was written"
    error = float((got - want).norm() / want.norm())
    assert error < (1e-5 if rows <= 2 or not GPU else 1e-2)  # more rows: bf16 in the tensor cores


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
@pytest.mark.parametrize("held, n, k", [("float32", 50, 48), ("bfloat16", 67, 192), ("int8", 96, 320), ("int4", 40, 192), ("int4", 32, 1024)])
def test_products(rows, held, n, k):
    module, weight = linear(n, k, held)
    x, g, kernels = torch.randn(rows, k, device=DEVICE), torch.rand(k, device=DEVICE) + 0.5, Launcher(rows, EPS, False)
    out = torch.full((rows, n), float("nan"), device=DEVICE)
    kernels.linear(x, Matrix.of(module), out)
    check(out, x @ weight.T, rows)
    kernels.linear(x, Matrix.of(module), out, norm=g, add=True)
    check(out, x @ weight.T + normed(x, g) @ weight.T, rows)
    apart = torch.full((rows, 2, n), float("nan"), device=DEVICE)
    kernels.linear(x, Matrix.of(module), apart[:, 1], norm=g)
    check(apart[:, 1], normed(x, g) @ weight.T, rows)
    assert apart[:, 0].isnan().all()


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("held", ["bfloat16", "int8", "int4"])
def test_gate(rows, held):
    (w1, first), (w3, third) = linear(112, 192, held), linear(112, 192, held)
    x, g, out = torch.randn(rows, 192, device=DEVICE), torch.rand(192, device=DEVICE), torch.full((rows, 112), float("nan"), device=DEVICE)
    Launcher(rows, EPS, False).gated(x, g, Matrix.of(w1), Matrix.of(w3), out)
    y = normed(x, g)
    check(out, torch.nn.functional.silu(y @ first.T) * (y @ third.T), rows)


@pytest.mark.parametrize("takes, steps", [(1, 1), (1, 2), (3, 1), (4, 2)])
@pytest.mark.parametrize("held", ["bfloat16", "int4"])
def test_queries_keys_and_values(takes, steps, held):
    heads, kv, hd, dim, capacity, rows = 6, 2, 32, 192, 40, takes * steps
    (q, wq), (k, wk), (v, wv) = linear(heads * hd, dim, held), linear(kv * hd, dim, held), linear(kv * hd, dim, held)
    rope, position = Rope(hd, 64, 10_000.0).to(DEVICE), torch.arange(7, 7 + steps, device=DEVICE)
    x, g = torch.randn(rows, dim, device=DEVICE), torch.rand(dim, device=DEVICE)
    out = torch.full((rows, heads * hd), float("nan"), device=DEVICE)
    keys, values = torch.zeros(2, takes, kv, capacity, hd, device=DEVICE)
    Launcher(rows, EPS, False).qkv(x, g, *map(Matrix.of, (q, k, v)), rope.table, position, out, keys, values)
    y, turn = normed(x, g), rope(position)

    def turned(rows_of: torch.Tensor, n: int) -> torch.Tensor:
        from miso.rotary import rotate

        return rotate(rows_of.view(takes, steps, n, hd).transpose(1, 2), turn)  # [B, n, S, hd]

    check(out.view(takes, steps, heads, hd).transpose(1, 2), turned(y @ wq.T, heads), rows)
    check(keys[:, :, 7:7 + steps], turned(y @ wk.T, kv), rows)
    check(values[:, :, 7:7 + steps], (y @ wv.T).view(takes, steps, kv, hd).transpose(1, 2), rows)
    assert keys[:, :, :7].eq(0).all() and keys[:, :, 7 + steps:].eq(0).all()


@pytest.mark.parametrize("capacity, position", [(32, [0, 1]), (32, [31]), (300, [0]), (300, [127]), (300, [128]), (300, [299])])
def test_attention(capacity, position):
    takes, heads, kv, hd = 2, 6, 2, 24
    steps = len(position)
    keys, values = torch.randn(2, takes, kv, capacity, hd, device=DEVICE)
    q, at = torch.randn(takes * steps, heads * hd, device=DEVICE), torch.tensor(position, device=DEVICE)
    for t in (keys, values):
        t[:, :, position[-1] + 1:] = float("nan")  # never read
    out = torch.full_like(q, float("nan"))
    Attention(takes * steps, heads, keys, False)(q, keys, values, at, out)
    for b in range(takes):
        for s, p in enumerate(position):
            for h in range(heads):
                k, v = keys[b, h // 3, :p + 1], values[b, h // 3, :p + 1]
                want = torch.softmax(k @ q[b * steps + s, h * hd:(h + 1) * hd] * hd ** -0.5, 0) @ v
                assert torch.allclose(out[b * steps + s, h * hd:(h + 1) * hd], want, atol=1e-5)


def state_of(takes: int, frames: int, codebooks: int, vocab: int) -> FrameState:
    nan = float("nan")
    return FrameState(x=torch.zeros(takes, 1, 8, device=DEVICE), position=torch.tensor([3], device=DEVICE), counter=torch.tensor([2], device=DEVICE),
                      u=uniforms(list(range(takes)), frames, codebooks).to(DEVICE), codes=torch.full((frames, takes, codebooks), -1, device=DEVICE),
                      log_p=torch.full((frames, takes), nan, device=DEVICE), hidden=torch.full((frames, takes, 8), nan, device=DEVICE), cache=None)


@pytest.mark.parametrize("sampling", [Sampling(0.9, 50), Sampling(1.0, 0), Sampling(0, 50), Sampling(0.7, 1), Sampling(1e-6, 5), Sampling(2.0, 64)])
def test_draws_are_those_of_the_plain_path(sampling):
    vocab, size, takes = 67, 64, 64
    logits = torch.randn(takes, vocab, device=DEVICE) * 3
    logits[:20] = logits[:20].round()  # ties, at the k-th too
    logits[20] = -5.0
    state, table, row = state_of(takes, 4, 3, vocab), torch.randn(3 * vocab, 8, device=DEVICE), torch.full((takes, 2, 8), float("nan"), device=DEVICE)
    drawing = Drawing(state, vocab, size, False)
    for codebook in (0, 2):
        drawing.draw(logits, sampling, codebook, table, row[:, 1])
        want = draw(logits, state.u[:, 2, codebook], sampling, size)
        assert torch.equal(state.codes[2, :, codebook], want)
        assert torch.equal(row[:, 1], table[codebook * vocab + want]) and row[:, 0].isnan().all()
    assert torch.allclose(state.log_p[2], logits.log_softmax(-1).gather(1, state.codes[2, :, :1])[:, 0], atol=1e-5)
    assert state.codes[:2].eq(-1).all() and state.codes[3].eq(-1).all() and state.codes[2, :, 1].eq(-1).all()


def frames_of(kind: type, takes: int, precision: Precision, frames: int, prompt: int, codebooks: int | None = None) -> FrameState:
    tensor = random_tensors(SMALL, 1)
    backbone, decoder = (build(part, SMALL, "x", tensor, device=DEVICE, precision=precision) for part in (Backbone, DepthDecoder))
    depth = DepthSampler(decoder, Sampling(0.8, 20), codebooks)
    state = FrameState.make(backbone, depth, takes, prompt + frames, frames)
    rows = torch.randint(0, 32, (1, prompt, SMALL.codebooks + 1), device=DEVICE)
    with torch.inference_mode():
        x = backbone.embed(rows, torch.ones_like(rows, dtype=torch.bool))
        backbone(x[:, :-1], torch.arange(prompt - 1, device=DEVICE), state.cache.first(), window=prompt - 1)
        state.cache.spread(prompt - 1)
        state.x.copy_(x[:, -1:])
    state.position.fill_(prompt - 1)
    state.u.copy_(uniforms(list(range(takes)), frames, SMALL.codebooks))
    frame = kind(backbone, depth, Sampling(0.9, 30), state)
    for _ in range(frames):
        frame()
    return state


@pytest.mark.parametrize("takes, precision, codebooks", [(1, Precision(), None), (2, Precision(), 2), (1, Precision(), 1), (3, Precision(), None),
                                                         (1, Precision(weights="int8"), None), (1, Precision(weights="int4"), None)])
def test_frames_are_those_of_the_plain_path(takes, precision, codebooks):
    torch.manual_seed(3)
    want = frames_of(PlainFrame, takes, precision, 2, 20, codebooks)
    torch.manual_seed(3)
    got = frames_of(FusedFrame, takes, precision, 2, 20, codebooks)
    assert torch.equal(got.codes, want.codes) and got.position == want.position == 21 and got.counter == 2
    for name in ("log_p", "hidden", "x"):
        assert torch.allclose(getattr(got, name), getattr(want, name), atol=1e-3), name
    assert torch.allclose(got.cache.keys, want.cache.keys, atol=1e-3) and torch.allclose(got.cache.values, want.cache.values, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("weights", ["", "int8", "int4"])
@pytest.mark.parametrize("takes", [1, 4])
def test_kernels_that_overlap_give_the_same(weights, takes):
    """Recorded and replayed, in bf16: a wait forgotten somewhere would show as codes that differ."""
    config, precision, codes = replace(PRESETS["nano"], text_vocab=40), Precision(torch.bfloat16, weights), []
    tensor = random_tensors(config, 1, device=DEVICE, dtype=torch.bfloat16)
    backbone, decoder = (build(part, config, "x", tensor, device=DEVICE, precision=precision) for part in (Backbone, DepthDecoder))
    for overlap in (False, True, True):
        state = FrameState.make(backbone, DepthSampler(decoder), takes, 512, 512)
        frame = GraphFrame(FusedFrame(backbone, DepthSampler(decoder), Sampling(), state, overlap))
        state.x.fill_(0.1)
        state.position.zero_()
        state.counter.zero_()
        state.u.copy_(uniforms(list(range(takes)), 512, config.codebooks))
        for _ in range(500):
            frame()
        codes.append(state.codes[:500].clone())
    assert torch.equal(codes[0], codes[1]) and torch.equal(codes[1], codes[2])


@pytest.mark.parametrize("architecture, held, takes", [(90, "", 1), (80, "int4", 8)])
def test_kernels_compile_for_gpus_that_are_not_here(architecture, held, takes):
    folder = Path(__file__).parents[2]
    command = [sys.executable, folder / "tests/harness/compile_kernels.py", str(architecture), held, str(takes)]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    kernels = [line.split("\t") for line in done.stdout.splitlines()]
    assert {name for name, *_ in kernels} == {"_copy", "_qkv", "_attend", "_combine", "_linear", "_gated", "_norm", "_head", "_draw", "_embed_frame",
                                              "_advance"}
    # each of a chain of kernels that overlap has to wait for the one before it; on older GPUs none can
    assert all((waits == "waits") == (architecture >= 90) for _, waits, _ in kernels)
    assert all(wide for name, _, wide in kernels if name in ("_linear", "_gated", "_qkv"))
