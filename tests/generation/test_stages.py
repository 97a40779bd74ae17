"""A backbone of one checkpoint with the depth decoder of another, wherever width and codec fit."""

from dataclasses import replace

import pytest
import torch
from make_tiny import MODEL

from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import Checkpoint, save_checkpoint
from miso.errors import MisoError
from miso.generation.depth import DepthSampler, redecode
from miso.generation.hidden import hidden_states
from miso.generation.loop import FrameLoop
from miso.generation.persistent.step import unsupported
from miso.model.config import StackConfig
from miso.speech import Miso
from miso.text.conditioning import Segment
from miso.text.script import parse_script


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """``checkpoints(name, seed, **changes)``: the path of an untrained model of the tests' tiny sizes."""
    folder = tmp_path_factory.mktemp("stages")

    def make(name: str, seed: int, **changes):
        if not (path := folder / f"{name}.safetensors").is_file():
            config = replace(MODEL, **changes)
            read = random_tensors(config, seed=seed)
            save_checkpoint(path, config, {key: read(key) for key in canonical_shapes(config)})
        return path

    return make


OTHER_DEPTH = {"depth": StackConfig(3, 2, 1, 32, 64)}  # another size


def sampled(backbone, depth, prompt, seeds=(3, 4), frames=12) -> FrameLoop:
    loop = FrameLoop(
        backbone, depth, prompt, seeds=list(seeds), max_frames=frames, keep_hidden=True, path="plain"
    )
    list(loop)
    return loop


@pytest.mark.parametrize("changes", [{}, OTHER_DEPTH], ids=["a fine-tune's", "another size"])
def test_the_depth_decoder_may_be_of_another_checkpoint(checkpoints, changes):
    first = Miso(checkpoints("first", 1), device="cpu")
    second = Checkpoint(checkpoints(f"second{len(changes)}", 2, **changes))
    prompt = first.text.conditioning([Segment("Hello.")]).prompt(12)
    pair = DepthSampler(second.load_depth())
    loop, own = (
        sampled(first.backbone, pair, prompt),
        sampled(first.backbone, DepthSampler(first.depth), prompt),
    )
    # the backbone's first draw is its own, the detail the other's
    assert loop.codes.tensor[:, 0, 0].equal(own.codes.tensor[:, 0, 0])
    assert not loop.codes.tensor[:, 1:, 0].equal(own.codes.tensor[:, 1:, 0])
    # codes tell the pair apart, and codes of one checkpoint are described as ever
    assert loop.codes.source["depth_model"] == second.fingerprint
    assert loop.codes.source["model"] == own.codes.source["model"] == first.checkpoint.fingerprint
    assert "depth_model" not in own.codes.source
    # Depth Redecode with the pair's decoder gives the run's codes, from its states and from Hidden States
    for hidden in (loop.hidden, hidden_states(first.backbone, prompt, loop.codes)):
        assert redecode(pair, hidden, loop.codes).tensor.equal(loop.codes.tensor)
    # and codes of the first alone can be given the other's detail
    redecoded = redecode(pair, own.hidden, own.codes)
    assert redecoded.tensor[:, 0].equal(own.codes.tensor[:, 0])
    assert redecoded.source["depth_model"] == second.fingerprint
    back = redecode(DepthSampler(first.depth), own.hidden, redecoded)
    assert "depth_model" not in back.source and back.tensor.equal(own.codes.tensor)


def test_stages_may_be_of_different_precision(checkpoints):
    first = Checkpoint(checkpoints("first", 1))
    prompt = first.text_encoder().conditioning([Segment("Hello.")]).prompt(4)
    depth = DepthSampler(first.load_depth())
    for backbone, decoder in (
        (first.load_backbone().bfloat16(), depth),
        (first.load_backbone(), DepthSampler(first.load_depth().bfloat16())),
    ):
        loop = sampled(backbone, decoder, prompt, frames=4)
        assert redecode(decoder, loop.hidden, loop.codes).tensor.equal(loop.codes.tensor)


def test_turns_of_a_pair_are_kept_as_its_own(checkpoints):
    first = Miso(checkpoints("first", 1), device="cpu")
    second = DepthSampler(Checkpoint(checkpoints("second0", 2)).load_depth())
    turns = parse_script("[0] Hi.")
    assert first.turns(turns).settings.fingerprint == first.checkpoint.fingerprint
    assert second.decoder.fingerprint in first.turns(turns, depth=second).settings.fingerprint


@pytest.mark.parametrize(
    "changes, figures",
    [
        ({"backbone": StackConfig(2, 4, 2, 32, 80)}, "the width 64, the depth decoder 32"),
        ({"codec": "other"}, "the codec 'tiny', the depth decoder 'other'"),
        ({"codebooks": 4}, "codebooks of 8, the depth decoder 4"),
        ({"codebook_size": 60}, "the size 64, the depth decoder 60"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_figures(checkpoints, changes, figures):
    first = Miso(checkpoints("first", 1), device="cpu")
    depth = DepthSampler(Checkpoint(checkpoints(str(sorted(changes)), 2, **changes)).load_depth())
    prompt = first.text.conditioning([Segment("Hello.")]).prompt(4)
    with pytest.raises(MisoError, match=figures) as e:
        sampled(first.backbone, depth, prompt, frames=4)
    assert e.value.input == "depth" and "One Load Miso Model" in e.value.remedy
    loop = sampled(first.backbone, DepthSampler(first.depth), prompt, frames=4)
    if "codebooks" not in changes:  # codes with more codebooks than the decoder keep those it draws
        with pytest.raises(MisoError, match="the width 64, the depth decoder reads 32|draws '"):
            redecode(depth, loop.hidden, loop.codes)


def test_the_kernel_leaves_a_depth_decoder_of_other_sizes_to_the_graph(checkpoints, monkeypatch):
    first = Checkpoint(checkpoints("first", 1)).load_backbone().bfloat16()
    other = DepthSampler(Checkpoint(checkpoints("second1", 2, **OTHER_DEPTH)).load_depth().bfloat16())
    monkeypatch.setattr(torch.version, "hip", None)
    assert "sizes that the backbone's own checkpoint has" in unsupported(first, other, 1)
