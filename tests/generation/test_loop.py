"""The frame loop: seeds, prefixes, limits, ends, interruption and custom depth samplers; redecoding."""

import copy
from dataclasses import replace

import pytest
import torch
from generation.recorded import check_recorded_frame

from miso.codes.codes import Codes
from miso.codes.hidden import Hidden
from miso.errors import MisoError
from miso.generation.depth import DepthSampler, redecode
from miso.generation.loop import FrameLoop
from miso.model.sampling import Sampling
from miso.text.conditioning import Prompt

slow = pytest.mark.slow


def test_a_take_does_not_depend_on_its_neighbours(run):
    together = run([4, 11, 9, 4], 20).codes
    for i, seed in enumerate([4, 11, 9]):
        assert torch.equal(run([seed], 20).codes.tensor[0], together.tensor[i])
    assert torch.equal(together.tensor[0], together.tensor[3])
    assert not torch.equal(together.tensor[0], together.tensor[1])


@pytest.mark.parametrize("kept", [pytest.param(1, marks=slow), 17, pytest.param(39, marks=slow)])
def test_a_prefix_goes_on_as_its_own_run_did(run, kept):
    whole = run([6], 40)
    again = run([6], 40 - kept, prefix=whole.codes.like(whole.codes.tensor[:, :, :kept]))
    assert torch.equal(again.codes.tensor, whole.codes.tensor)
    assert (again.hidden.tensor - whole.hidden.tensor).abs().max() < 1e-4
    assert again.codes.takes[0].spans[-1].end == 40
    other = run([7], 40 - kept, prefix=whole.codes.like(whole.codes.tensor[:, :, :kept])).codes
    assert torch.equal(other.tensor[:, :, :kept], whole.codes.tensor[:, :, :kept])
    assert not torch.equal(other.tensor, whole.codes.tensor)


def test_a_repetition_penalty_looks_back_two_seconds(run, backbone):
    """Greedy sampling without one repeats itself; with a large one no code comes again within 25 frames."""
    greedy, strict = Sampling(0), Sampling(0, repetition_penalty=10)
    first = run([6], 40, sampling=strict)
    codes = first.codes.tensor[0, 0].tolist()
    repeated = run([6], 40, sampling=greedy).codes.tensor[0, 0].tolist()
    assert len(set(repeated)) < 40
    windows = [codes[max(0, t - 25) : t] for t in range(40)]
    assert all(code not in window for code, window in zip(codes, windows))
    part = first.codes.like(first.codes.tensor[:, :, :17])
    assert run([6], 23, sampling=strict, prefix=part).codes.tensor.equal(first.codes.tensor)


@pytest.mark.parametrize("keep", [1, pytest.param(5, marks=slow), 31, 32])
def test_redecode_gives_the_codes_of_the_run(run, decoder, keep):
    loop = run([1, 2])
    steps = []
    again = redecode(
        DepthSampler(decoder),
        loop.hidden,
        loop.codes,
        keep=keep,
        progress=lambda *p: steps.append(p),
        batch_size=33,
    )
    assert torch.equal(again.tensor, loop.codes.tensor)
    assert steps == [(33, 80), (66, 80), (80, 80)]


def test_redecode_with_another_seed_changes_only_the_other_codebooks(run, decoder):
    loop = run([1])
    other = redecode(DepthSampler(decoder), loop.hidden, loop.codes, keep=3, seeds=[99])
    assert torch.equal(other.tensor[:, :3], loop.codes.tensor[:, :3])
    assert not torch.equal(other.tensor[:, 3:], loop.codes.tensor[:, 3:])
    assert other.takes[0].seed == 99


def test_redecode_from_a_frame_on(run, decoder):
    loop = run([1, 2])
    whole, late = (
        redecode(DepthSampler(decoder), loop.hidden, loop.codes, start=start, seeds=[98, 99])
        for start in (0, 25)
    )
    assert torch.equal(late.tensor[:, :, :25], loop.codes.tensor[:, :, :25])
    assert torch.equal(late.tensor[:, :, 25:], whole.tensor[:, :, 25:])
    with pytest.raises(MisoError, match="start is 41"):
        redecode(DepthSampler(decoder), loop.hidden, loop.codes, start=41)


def test_redecode_refuses_hidden_states_of_another_run(run, decoder):
    loop, short = run([1]), run([1], 10)
    with pytest.raises(MisoError, match="one run"):
        redecode(DepthSampler(decoder), loop.hidden, short.codes)
    with pytest.raises(MisoError, match="have the width 5, the depth decoder reads"):
        other = Hidden(loop.hidden.tensor[..., :5], loop.hidden.lengths, "other")
        redecode(DepthSampler(decoder), other, loop.codes)
    with pytest.raises(MisoError, match="keep is 0"):
        redecode(DepthSampler(decoder), loop.hidden, loop.codes, keep=0)


def test_the_depth_sampler_has_its_own_codebooks_and_sampling(run, decoder):
    all_of_them = run([3], 5).codes.tensor
    few = run([3], 5, depth=DepthSampler(decoder, codebooks=4)).codes
    assert few.tensor.shape == (1, 4, 5)
    assert torch.equal(few.tensor[:, :, 0], all_of_them[:, :4, 0])  # later frames have seen other rows
    greedy = run([3], 5, depth=DepthSampler(decoder, Sampling(0)))
    own = redecode(DepthSampler(decoder, Sampling(0)), greedy.hidden, greedy.codes, seeds=[12345])
    assert torch.equal(own.tensor, greedy.codes.tensor)  # greedy depth needs no numbers
    assert greedy.codes.source["depth_sampling"] == {"temperature": 0, "top_k": 50}
    one = run([3], 5, depth=DepthSampler(decoder, codebooks=1)).codes
    assert one.codebooks == 1


class Scripted:
    """A depth decoder that ends take b after ``ends[b]`` frames."""

    def __init__(self, sampler, ends):
        self.decoder, self.codebooks, self.sampling = sampler.decoder, sampler.codebooks, sampler.sampling
        self.ends, self.frame = ends, -1

    def __call__(self, hidden, codes, u):
        self.frame += 1
        frame = torch.ones(len(codes), self.codebooks, dtype=torch.int64)
        frame[:, 0] = 0  # codebook 0 alone being 0 is not the end
        frame[[b for b, end in enumerate(self.ends) if self.frame >= end]] = 0
        return frame


def test_takes_end_at_their_own_frames(run, decoder):
    loop = run([1, 2, 3], 20, depth=Scripted(DepthSampler(decoder), [5, 50, 12]))
    codes = loop.codes
    assert codes.lengths.tolist() == [5, 20, 12] and [t.stop for t in codes.takes] == ["eos", "limit", "eos"]
    assert codes.tensor[0, :, 5:].eq(0).all() and codes.tensor[1, 1:].eq(1).all()
    assert [t.spans[-1].end for t in codes.takes] == [5, 20, 12]
    assert loop.hidden.tensor.shape[:2] == (3, 20)


def test_the_loop_stops_when_all_have_ended(run, decoder):
    sampler = Scripted(DepthSampler(decoder), [3, 7])
    loop = run([1, 2], 100, depth=sampler)
    assert loop.codes.frames == 7 and sampler.frame == 7


class CodebookZeroAlone(Scripted):
    """Leaves codebook 0 as it was drawn, and all others 0."""

    def __call__(self, hidden, codes, u):
        return torch.cat((codes, torch.zeros(len(codes), self.codebooks - 1, dtype=codes.dtype)), 1)


@pytest.mark.parametrize("least", [0, 4])
def test_no_take_ends_before_its_least_length(backbone, decoder, prompt, least):
    backbone = copy.deepcopy(backbone)
    backbone.codebook0_head.weight.zero_()  # greedy: the lowest id that is allowed
    depth = CodebookZeroAlone(DepthSampler(decoder), [])
    loop = FrameLoop(backbone, depth, prompt, seeds=[1], max_frames=9, sampling=Sampling(0), min_frames=least)
    for _ in loop:
        pass
    assert loop.codes.frames == least and loop.codes.takes[0].stop == "eos"


def test_log_probabilities_are_the_models_own(run, backbone, prompt):
    loop = run([5, 6], 12)
    with torch.inference_mode():
        logits = backbone.codebook0_head(loop.hidden.tensor).log_softmax(-1)  # [B, T, V]
    want = logits.gather(2, loop.codes.tensor[:, 0, :, None])[..., 0].mean(1)
    assert torch.allclose(torch.tensor([t.log_probability for t in loop.codes.takes]), want, atol=1e-4)


def test_a_take_may_end_at_its_first_frame(run, decoder):
    loop = run([1], 10, depth=Scripted(DepthSampler(decoder), [0]))
    assert loop.codes.tensor.shape == (1, 32, 0)
    take = loop.codes.takes[0]
    assert (take.stop, take.spans, take.log_probability) == ("eos", (), None)
    assert loop.hidden.tensor.shape[:2] == (1, 0)
    assert redecode(DepthSampler(decoder), loop.hidden, loop.codes).frames == 0


def test_stopping_early_keeps_what_was_made(backbone, decoder, prompt, run):
    loop = FrameLoop(backbone, DepthSampler(decoder), prompt, seeds=[8, 9], max_frames=20, keep_hidden=True)
    whole = run([8, 9], 20).codes
    for frame in loop:
        assert frame.codes.shape == (2, 32) and frame.running.all()
        if frame.index == 9:
            break
    assert [t.stop for t in loop.codes.takes] == ["interrupted", "interrupted"] and loop.codes.frames == 10
    assert torch.equal(loop.codes.tensor, whole.tensor[:, :, :10])
    assert loop.hidden.tensor.shape[:2] == (2, 10)
    for _ in loop:  # and it can go on
        pass
    assert torch.equal(loop.codes.tensor, whole.tensor) and loop.codes.takes[0].stop == "limit"


def test_inference_mode_does_not_leak_to_the_consumer(backbone, decoder, prompt):
    loop = FrameLoop(backbone, DepthSampler(decoder), prompt, seeds=[8], max_frames=2)
    for _ in loop:
        assert not torch.is_inference_mode_enabled()


def test_reserved_ids_are_never_drawn(backbone, decoder, prompt, monkeypatch):
    for part in (backbone, decoder):
        monkeypatch.setattr(part, "config", replace(part.config, codebook_size=9))
    loop = FrameLoop(
        backbone,
        DepthSampler(decoder, Sampling(3.0, 0)),
        prompt,
        seeds=[1, 2, 3],
        max_frames=20,
        sampling=Sampling(3.0, 0),
    )
    list(loop)
    assert loop.codes.tensor.max() == 8


def prefix(takes=1, codebooks=32, codec="mimi-e351c8d8"):
    tensor = torch.zeros(takes, codebooks, 3, dtype=torch.int64)
    return {"prefix": Codes(tensor, [3] * takes, codec, codebook_size=67)}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"seeds": []}, "no takes"),
        ({"max_frames": 0}, "at least one frame"),
        ({"max_frames": 1405}, "2049 rows"),
        (prefix(codebooks=8), "8 codebooks"),
        (prefix(codec="nano"), "codec 'nano'"),
        (prefix(takes=2), "2 takes"),
    ],
)
def test_bad_requests_are_explained(backbone, decoder, prompt, options, words):
    with pytest.raises(MisoError, match=words):
        FrameLoop(backbone, DepthSampler(decoder), prompt, **{"seeds": [1], "max_frames": 5, **options})


def test_the_last_position_can_be_used(backbone, decoder, prompt):
    assert len(prompt.rows) == 644
    long = Prompt(prompt.rows.repeat(4, 1)[:2043], prompt.mask.repeat(4, 1)[:2043], prompt.line)
    assert len(list(FrameLoop(backbone, DepthSampler(decoder), long, seeds=[1], max_frames=5))) == 5


@pytest.mark.parametrize(
    "path, words",
    [
        ("graph", "needs CUDA"),
        ("persistent", "needs CUDA"),
        ("fused", "no path 'fused'"),
        ("warp", "no path 'warp'"),
    ],
)
def test_a_path_that_cannot_be_used_says_why(backbone, decoder, prompt, path, words):
    with pytest.raises(MisoError, match=words):
        FrameLoop(backbone, DepthSampler(decoder), prompt, seeds=[1], max_frames=5, path=path)


@pytest.fixture(scope="module")
def on_cuda(checkpoint):
    return checkpoint.load_backbone("cuda"), checkpoint.load_depth("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("path", ["plain", "graph"])
def test_seeds_give_the_same_codes_on_cuda(on_cuda, prompt, run, path):
    model, depth = on_cuda
    # the second run uses what the first recorded, the third has another shape
    for seeds, length in (([1, 2], 20), ([3, 4], 12), ([5], 20)):
        loop = FrameLoop(
            model, DepthSampler(depth), prompt, seeds=seeds, max_frames=length, path=path, keep_hidden=True
        )
        list(loop)
        same = run(seeds, length)
        assert (loop.codes.tensor == same.codes.tensor).float().mean() > 0.99
        first, expected = loop.hidden.tensor[:, 0], same.hidden.tensor[:, 0]
        assert (first - expected).norm() < 1e-3 * expected.norm()
        got, want = (each.codes.takes[0].log_probability for each in (loop, same))
        assert got == pytest.approx(want, abs=1e-2)
    begun = same.codes.like(same.codes.tensor[:, :, :7])
    again = FrameLoop(model, DepthSampler(depth), prompt, seeds=[5], max_frames=13, path=path, prefix=begun)
    list(again)
    assert (again.codes.tensor == same.codes.tensor).float().mean() > 0.99


@pytest.mark.gpu
def test_a_recorded_frame_serves_one_loop_at_a_time_and_goes_with_the_weights(on_cuda, prompt):
    model, depth = on_cuda
    check_recorded_frame(model, DepthSampler(depth), prompt, "graph")
