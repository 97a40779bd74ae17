"""Hidden States: one parallel pass gives what the sampler had, and Depth Redecode fills codes up from it."""

import pytest
import torch

from miso.checkpoints.checkpoint import Checkpoint
from miso.checkpoints.find import BUNDLED
from miso.codes.editing import keep_codebooks
from miso.errors import MisoError
from miso.generation.depth import DepthSampler, redecode
from miso.generation.hidden import hidden_states, prompt_for
from miso.generation.loop import FrameLoop
from miso.model.sampling import Sampling
from miso.text.conditioning import Prompt, Segment


@pytest.fixture(scope="module")
def nano():
    checkpoint = Checkpoint(BUNDLED / "nano.safetensors")
    return checkpoint, checkpoint.load_backbone(), checkpoint.load_depth()


@pytest.mark.parametrize("chunk", [256, 7])
def test_a_runs_own_states_come_back(run, backbone, decoder, prompt, chunk):
    loop = run([5, 6], 30)
    hidden = hidden_states(backbone, prompt, loop.codes, chunk=chunk)
    assert hidden.fingerprint == loop.hidden.fingerprint and hidden.lengths.equal(loop.codes.lengths)
    for mine, theirs, length in zip(hidden.tensor, loop.hidden.tensor, hidden.lengths):
        torch.testing.assert_close(mine[:length], theirs[:length], rtol=0, atol=1e-4)
    again = redecode(DepthSampler(decoder), hidden, loop.codes)
    assert again.tensor.equal(loop.codes.tensor)  # the run's seeds give the run's codes
    redecode(DepthSampler(decoder), hidden, loop.codes, seeds=[7, 8])


def test_takes_that_end_earlier_have_states_to_their_end(run, backbone, prompt):
    loop = run([5, 6], 12)
    cut = loop.codes.like(loop.codes.tensor, torch.tensor([12, 4]), loop.codes.takes)
    hidden = hidden_states(backbone, prompt, cut)
    assert not hidden.tensor[1, 4:].any() and hidden.tensor[1, 3].any()
    torch.testing.assert_close(hidden.tensor[1, :4], loop.hidden.tensor[1, :4], rtol=0, atol=1e-4)


def test_nanos_states_and_codes_come_back(nano):
    checkpoint, backbone, decoder = nano
    sampling = Sampling(0.25)
    conditioning = checkpoint.text_encoder().conditioning([Segment("Hello there.")])
    depth = DepthSampler(decoder, sampling)
    loop = FrameLoop(
        backbone,
        depth,
        conditioning.prompt(40),
        seeds=[3],
        max_frames=40,
        sampling=sampling,
        keep_hidden=True,
    )
    list(loop)
    steps = []
    hidden = hidden_states(
        backbone, prompt_for(conditioning, loop.codes), loop.codes, lambda *s: steps.append(s)
    )
    torch.testing.assert_close(hidden.tensor, loop.hidden.tensor, rtol=0, atol=1e-3)
    assert redecode(depth, hidden, loop.codes).tensor.equal(loop.codes.tensor)
    assert steps[-1][0] == steps[-1][1] == len(conditioning.prompt(40).rows) - 1 + loop.codes.frames


def test_codes_with_fewer_codebooks_are_filled_up(nano):
    """Three of eight: the words stay, the missing codebooks are drawn; as a sampler with three would do."""
    checkpoint, backbone, decoder = nano
    sampling = Sampling(0.25)
    conditioning = checkpoint.text_encoder().conditioning([Segment("Hello there.")])
    three = DepthSampler(decoder, sampling, 3)
    loop = FrameLoop(
        backbone,
        three,
        conditioning.prompt(30),
        seeds=[3],
        max_frames=30,
        sampling=sampling,
        keep_hidden=True,
    )
    list(loop)
    hidden = hidden_states(backbone, prompt_for(conditioning, loop.codes), loop.codes)
    torch.testing.assert_close(hidden.tensor, loop.hidden.tensor, rtol=0, atol=1e-3)
    filled = redecode(DepthSampler(decoder, sampling), hidden, loop.codes, keep=3, seeds=[9])
    assert filled.codebooks == 8 and filled.tensor[:, :3].equal(loop.codes.tensor)
    assert filled.tensor[:, 3:].unique().numel() > 20
    other = redecode(DepthSampler(decoder, sampling), hidden, loop.codes, keep=3, seeds=[10])
    assert not other.tensor[:, 3:].equal(filled.tensor[:, 3:])


def test_a_stopped_pass_stops(run, backbone, prompt):
    codes, calls = run([5], 30).codes, []

    def stop(done, total):
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hidden_states(backbone, prompt, codes, stop, chunk=4)
    assert calls == [4, 8, 12]


def test_what_does_not_fit_is_refused(run, backbone, prompt, nano):
    codes = run([5], 6).codes
    config = backbone.config
    long = codes.like(torch.ones(1, config.codebooks, config.positions, dtype=torch.int64))
    more = codes.like(torch.ones(1, config.codebooks + 1, 3, dtype=torch.int64))
    empty = codes.like(codes.tensor[:, :, :0])
    narrow = Prompt(prompt.rows[:, :-1], prompt.mask[:, :-1], prompt.line)
    for wrong, at, words, input in (
        (long, prompt, "Trim the codes", "codes"),
        (more, prompt, "Keep the first", "codes"),
        (empty, prompt, "no frames", "codes"),
        (codes, narrow, "one Load Miso Model", "conditioning"),
    ):
        with pytest.raises(MisoError, match=words) as e:
            hidden_states(backbone, at, wrong)
        assert e.value.input == input
    checkpoint, theirs, _ = nano
    with pytest.raises(MisoError, match="the model speaks 'nano'|codec"):
        hidden_states(theirs, checkpoint.text_encoder().conditioning([Segment("Hello.")]).prompt(6), codes)
    conditioning = checkpoint.text_encoder().conditioning([Segment("Hello.")])
    with pytest.raises(MisoError, match="Trim the codes.* are too long") as e:
        prompt_for(conditioning, long.like(torch.ones(1, 8, 2040, dtype=torch.int64)))
    assert e.value.input == "codes"


def test_kept_codebooks_alone_are_enough(nano):
    checkpoint, backbone, decoder = nano
    conditioning = checkpoint.text_encoder().conditioning([Segment("Hello.")])
    codes = run_of(nano, conditioning)
    one = keep_codebooks(codes, 1)
    hidden = hidden_states(backbone, prompt_for(conditioning, one), one)
    assert redecode(DepthSampler(decoder, Sampling(0.25)), hidden, one).codebooks == 8


def run_of(nano, conditioning):
    _, backbone, decoder = nano
    sampling = Sampling(0.25)
    loop = FrameLoop(
        backbone,
        DepthSampler(decoder, sampling),
        conditioning.prompt(10),
        seeds=[1],
        max_frames=10,
        sampling=sampling,
    )
    list(loop)
    return loop.codes
