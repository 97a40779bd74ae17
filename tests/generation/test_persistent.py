"""The kernel that computes a whole frame, against plain PyTorch: on a GPU, and its source on an emulated one."""

import shutil
from dataclasses import replace

import pytest
import torch

from miso.checkpoints.build import build, random_tensors
from miso.checkpoints.devices import Precision
from miso.generation.depth import DepthSampler
from miso.generation.frame import FrameState, PlainFrame
from miso.generation.paths import pick_path
from miso.model.config import PRESETS, StackConfig
from miso.model.networks import Backbone, DepthDecoder
from miso.model.sampling import Sampling, uniforms

SMALL = replace(
    PRESETS["nano"],
    backbone=StackConfig(2, 4, 2, 512, 1024),
    depth=StackConfig(2, 4, 2, 256, 512),
    audio_vocab=35,
    codebooks=4,
    codebook_size=32,
    positions=512,
    text_vocab=40,
)


@pytest.mark.gpu
@pytest.mark.parametrize("takes", [1, 3, 8])
@pytest.mark.parametrize("weights", ["", "int8", "int4", "fp8"])
def test_a_frame_is_the_plain_one(weights, takes):
    from miso.generation.persistent.step import PersistentFrame, unsupported

    backbone, depth = _parts(weights, device := torch.device("cuda"))
    if reason := unsupported(backbone, depth, takes):
        pytest.skip(reason)
    assert pick_path("auto", backbone, depth, takes) == (
        "persistent" if torch.cuda.get_device_capability(device)[0] == 9 else "graph"
    )
    _compare(PersistentFrame, backbone, depth, takes)


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated GPU is compiled by g++")
@pytest.mark.parametrize("weights, takes", [("", 1), ("int8", 3), ("int4", 1), ("fp8", 2)])
def test_its_source_computes_the_plain_frame_on_an_emulated_gpu(weights, takes):
    from generation.emulator import EmulatedFrame

    _compare(EmulatedFrame, *_parts(weights, torch.device("cpu")), takes)


def _parts(weights, device):
    tensor = random_tensors(SMALL, 1, device=device, dtype=torch.bfloat16)
    backbone, decoder = (
        build(kind, SMALL, "random", tensor, device=device, precision=Precision(torch.bfloat16, weights))
        for kind in (Backbone, DepthDecoder)
    )
    return backbone, DepthSampler(decoder, Sampling(0.9, 20))


def _compare(kind, backbone, depth, takes):
    device, sampling = backbone.audio_embeddings.weight.device, Sampling(0.9, 30)
    states = [FrameState.make(backbone, depth, takes, 300, 8) for _ in range(3)]
    generator = torch.Generator(device).manual_seed(7)
    x = torch.randn(states[0].x.shape, generator=generator, device=device)
    past = torch.randn(2, *states[0].cache.keys[:, :, :, :100].shape, generator=generator, device=device)
    for s in states:
        s.x.copy_(x), s.position.fill_(100), s.u.copy_(uniforms(list(range(takes)), 8, SMALL.codebooks))
        s.cache.keys[:, :, :, :100], s.cache.values[:, :, :, :100] = past
        s.codes.fill_(-1), s.hidden.fill_(float("nan"))
    plain, ours, again = (
        step(backbone, depth, sampling, s) for step, s in zip((PlainFrame, kind, kind), states)
    )
    for step in (plain, ours, again):
        step()
    want, got, repeated = (step.state for step in (plain, ours, again))
    assert (
        float((got.hidden[0] - want.hidden[0]).float().norm() / want.hidden[0].float().norm()) < 2e-2
    )  # both in bf16
    assert (
        got.codes[0] == want.codes[0]
    ).float().mean() > 0.7  # a code that rounding moves moves those after it
    assert (got.position, got.counter) == (want.position, want.counter)
    assert (
        torch.equal(got.codes, repeated.codes)
        and torch.equal(got.x, repeated.x)
        and torch.equal(got.hidden[0], repeated.hidden[0])
    )
