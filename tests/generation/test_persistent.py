"""The persistent kernel against plain PyTorch: on a GPU, and its source on an emulated GPU."""

import copy
from functools import partial

import pytest
import torch
from closeness import relative
from generation.emulator import EmulatedFrame, emulated
from generation.frames import CAPACITY, FRAME, FRAMES, SMALL, SPLIT, compute, fill, models
from generation.recorded import check_recorded_frame

from miso.errors import MisoError
from miso.generation.depth import DepthSampler
from miso.generation.frame import PlainFrame
from miso.generation.paths import pick_path
from miso.generation.persistent.limits import GpuLimits, limited_to
from miso.generation.persistent.program import SharedMemoryError
from miso.generation.persistent.split import SplitFrame, persistent_frame
from miso.generation.persistent.step import PersistentFrame, unsupported
from miso.generation.trial import compare
from miso.model.networks import Backbone
from miso.model.sampling import Sampling, draw
from miso.text.conditioning import Prompt, Segment

slow = pytest.mark.slow


def check_frame(step, backbone, decoder, takes):
    """All that a frame leaves behind, against the plain frame."""
    depth = DepthSampler(decoder, Sampling(0.9, 20))
    plain, ours, again = (compute(kind, backbone, depth, takes) for kind in (PlainFrame, step, step))
    want, got, repeated = (frame.state for frame in (plain, ours, again))
    check_cache(got, want, 100)
    assert relative(got.hidden[FRAME], want.hidden[FRAME]) < 2e-2  # both in bf16
    # a code that rounding changes changes those after it
    assert (got.codes[FRAME] == want.codes[FRAME]).float().mean() > 0.7
    assert (got.position, got.counter) == (want.position, want.counter) == (101, FRAME + 1)
    for table in ("codes", "log_p", "hidden"):
        others = [t for t in range(FRAMES) if t != FRAME]
        rows, untouched = (
            getattr(got, table)[others],
            getattr(fill(backbone, depth, takes, 100), table)[others],
        )
        assert torch.equal(rows.nan_to_num(-1), untouched.nan_to_num(-1))
    assert relative(got.x, backbone.embed_frame(got.codes[FRAME])) < 1e-2
    check_products(ours)
    check_drawing(ours)
    assert torch.equal(got.codes, repeated.codes) and torch.equal(got.x, repeated.x)
    assert torch.equal(got.hidden[FRAME], repeated.hidden[FRAME])


def check_cache(got, want, position):
    """The new key and value are in their place, and nothing else in the cache has changed."""
    for ours, plain in ((got.cache.keys, want.cache.keys), (got.cache.values, want.cache.values)):
        assert relative(ours[:, :, :, position], plain[:, :, :, position]) < 2e-2
        for part in (slice(0, position), slice(position + 1, None)):
            assert torch.equal(ours[:, :, :, part], plain[:, :, :, part])


def logits_of(frame):
    """The logits [B, V] of the first and the last codebook, as the kernel left them."""
    lowered = frame._lowered
    return lowered.first_logits.tensor.sum(0), lowered.logits.tensor.sum(0)


def check_products(frame):
    """Logits are those of PyTorch for the hidden state and the codes that the kernel wrote."""
    hidden, codes = frame.state.hidden[FRAME], frame.state.codes[FRAME]
    first, last = logits_of(frame)
    assert relative(first, frame.backbone.codebook0_head(hidden)) < 2e-2
    assert relative(last, frame.depth.decoder.teacher_forced(hidden, codes)[:, -1]) < 4e-2


def check_drawing(frame):
    """Codes are those that ``draw`` draws: exactly of the kernel's own logits, nearly of PyTorch's."""
    state, size, depth = frame.state, frame.backbone.config.codebook_size, frame.depth
    codes, u = state.codes[FRAME], state.u[:, FRAME]
    first, last = logits_of(frame)
    assert torch.equal(codes[:, 0], draw(first, u[:, 0], frame.sampling, size))
    assert torch.equal(codes[:, -1], draw(last, u[:, codes.shape[1] - 1], depth.sampling, size))
    log_p = first.log_softmax(-1).gather(1, codes[:, :1])[:, 0]
    assert torch.allclose(state.log_p[FRAME], log_p, atol=1e-4)
    # the codebooks between: the code's logit is likely enough, and its part of the distribution holds u
    logits = depth.decoder.teacher_forced(state.hidden[FRAME], codes)[..., :size].float()  # [B, K-1, size]
    drawn = codes[:, 1:, None]
    chosen = logits.gather(2, drawn)[..., 0]
    k = 1 if depth.sampling.greedy else min(depth.sampling.top_k or size, size)
    assert (chosen >= logits.topk(k).values[..., -1] - 0.1).all()
    if not depth.sampling.greedy and depth.sampling.top_k == 0 and depth.sampling.temperature > 0.1:
        cdf = torch.softmax(logits / depth.sampling.temperature, -1).cumsum(-1)
        above, below = (
            cdf.gather(2, drawn)[..., 0],
            (cdf.gather(2, (drawn - 1).clamp(min=0)) * (drawn > 0))[..., 0],
        )
        assert ((u[:, 1:] > below - 0.02) & (u[:, 1:] < above + 0.02)).all()


@pytest.mark.gpu
@pytest.mark.parametrize("takes", [1, 3, 8])
@pytest.mark.parametrize("weights", ["", "int8", "int4", "fp8"])
def test_a_frame_is_the_plain_one(weights, takes):
    backbone, decoder = models(SMALL, weights, "cuda")
    depth = DepthSampler(decoder)
    if reason := unsupported(backbone, depth, takes):
        pytest.skip(reason)
    hopper = torch.cuda.get_device_capability()[0] == 9
    assert pick_path("auto", backbone, depth, takes).path == ("persistent" if hopper else "graph")
    check_frame(PersistentFrame, backbone, decoder, takes)


@pytest.mark.gpu
@pytest.mark.parametrize("takes", [8, 20])
def test_more_takes_than_a_small_gpu_holds(takes):
    """Under the limits of a consumer card, and beyond eight takes."""
    backbone, decoder = models(SMALL, "int8", "cuda")
    depth = DepthSampler(decoder, Sampling(0.9, 20))
    with limited_to(GpuLimits(28, 60 * 1024)):
        assert compare(backbone, depth, takes).holds


@pytest.mark.gpu
def test_a_recorded_frame_serves_one_loop_at_a_time_and_goes_with_the_weights():
    backbone, decoder = models(SMALL, "", "cuda")
    depth = DepthSampler(decoder)
    if reason := unsupported(backbone, depth, 1):
        pytest.skip(reason)
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(32, (40, SMALL.codebooks + 1), generator=generator)
    check_recorded_frame(
        backbone, depth, Prompt(rows, torch.ones_like(rows, dtype=torch.bool), Segment("a")), "persistent"
    )


@emulated
@pytest.mark.parametrize(
    "weights, takes",
    [
        ("", 1),
        ("int4", 2),
        pytest.param("int8", 3, marks=slow),
        pytest.param("int4", 1, marks=slow),
        pytest.param("fp8", 2, marks=slow),
        pytest.param("", 6, marks=slow),  # as many heads as the emulated GPU has warps,
    ],
)
def test_the_source_computes_the_plain_frame_on_an_emulated_gpu(weights, takes):
    check_frame(EmulatedFrame, *models(SMALL, weights), takes)


@emulated
def test_takes_that_one_kernel_cannot_hold_are_split(monkeypatch):
    """Every take is as if it were alone in its group."""
    backbone, decoder = models(SMALL, "int4")
    depth = DepthSampler(decoder, Sampling(0.9, 20))

    def make(backbone, depth, sampling, state):
        if len(state.x) > 2:
            raise SharedMemoryError("too many takes")
        return EmulatedFrame(backbone, depth, sampling, state)

    step = partial(persistent_frame, make=make)
    split, plain = (compute(kind, backbone, depth, 3) for kind in (step, PlainFrame))
    assert isinstance(split, SplitFrame)
    got, want = split.state, plain.state
    check_cache(got, want, 100)
    assert relative(got.hidden[FRAME], want.hidden[FRAME]) < 2e-2
    assert (got.codes[FRAME] == want.codes[FRAME]).float().mean() > 0.7
    assert torch.allclose(got.log_p[FRAME], want.log_p[FRAME], atol=0.1)
    assert (got.position, got.counter) == (want.position, want.counter) == (101, FRAME + 1)
    assert relative(got.x, backbone.embed_frame(got.codes[FRAME])) < 1e-2


def test_a_gpu_for_not_even_one_take_is_refused():
    def make(*_):
        raise SharedMemoryError("no room")

    backbone, decoder = models(SMALL)
    depth = DepthSampler(decoder)
    with pytest.raises(MisoError, match="no room"):
        persistent_frame(backbone, depth, Sampling(), fill(backbone, depth, 2, 0), make)


@emulated
@pytest.mark.parametrize("takes", [1, pytest.param(3, marks=slow)])
@pytest.mark.parametrize("position", [0, 127, 128, CAPACITY - 1])
def test_attention_at_the_edges_of_the_context(position, takes):
    backbone, decoder = models(SPLIT)
    depth = DepthSampler(decoder)
    plain, ours = (
        compute(step, backbone, depth, takes, position=position) for step in (PlainFrame, EmulatedFrame)
    )
    check_cache(ours.state, plain.state, position)
    assert relative(ours.state.hidden[FRAME], plain.state.hidden[FRAME]) < 2e-2


@emulated
@pytest.mark.parametrize("takes", [1, pytest.param(3, marks=slow)])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.0),
        Sampling(0.9, 1),
        Sampling(1.0, 0),
        Sampling(1e-6, 50),
        Sampling(0.9, 64),
        Sampling(100, 319),
    ],
    ids=str,
)
def test_codes_are_drawn_as_in_pytorch(sampling, takes):
    backbone, decoder = models(SPLIT)
    frame = compute(EmulatedFrame, backbone, DepthSampler(decoder, sampling), takes, sampling)
    check_drawing(frame)


@emulated
@pytest.mark.parametrize("u", [0.0, 1 - 2**-23], ids=["least", "greatest"])
def test_the_ends_of_the_distribution(u):
    backbone, decoder = models(SPLIT)
    sampling = Sampling(1.0, 0)
    numbers = torch.full((1, FRAMES, SPLIT.codebooks), u)
    check_drawing(compute(EmulatedFrame, backbone, DepthSampler(decoder, sampling), 1, sampling, u=numbers))


@emulated
@pytest.mark.parametrize("takes", [1, pytest.param(3, marks=slow)])
@pytest.mark.parametrize("sampling", [Sampling(0.9, 3), Sampling(0.0)], ids=["top-k", "greedy"])
def test_ids_that_tie_with_the_kth_stay_in(sampling, takes):
    backbone, decoder = (build_tied(part) for part in models(SPLIT))
    codes = []
    for number in (0.01, 0.99) if sampling.greedy else (0.01, 0.35, 0.99):
        u = torch.full((takes, FRAMES, SPLIT.codebooks), number)
        frame = compute(EmulatedFrame, backbone, DepthSampler(decoder, sampling), takes, sampling, u=u)
        check_drawing(frame)
        codes.append(frame.state.codes[FRAME, 0, 0])
        for logits in logits_of(frame):
            best = logits[:, : SPLIT.codebook_size].sort(descending=True).values
            assert torch.equal(best[:, 2], best[:, 3])  # the third greatest ties with the fourth
    assert len(set(map(int, codes))) == (1 if sampling.greedy else 3)


def build_tied(part):
    """A copy whose logits come in pairs of equal ones."""
    part = copy.deepcopy(part)
    if isinstance(part, Backbone):
        weight = part.codebook0_head.weight
        weight[1::2] = weight[: len(weight) - 1 : 2]
    else:
        part.audio_head[..., 1::2] = part.audio_head[..., : part.audio_head.shape[-1] - 1 : 2]
    return part
