"""Small networks, and frames that each kind of step computes from the same random state."""

from dataclasses import replace
from functools import cache

import torch

from miso.checkpoints.build import build, random_tensors
from miso.checkpoints.devices import Precision
from miso.generation.frame import FrameState
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
# One KV head, so that the three programs share a context; more logits than a program has threads.
SPLIT = replace(
    SMALL,
    backbone=StackConfig(2, 4, 1, 256, 512),
    depth=StackConfig(2, 4, 2, 128, 256),
    audio_vocab=323,
    codebook_size=320,
)
CAPACITY, FRAMES, FRAME = 256, 5, 3  # positions of the cache, rows of the tables, and the row to be written


@cache
def models(config, weights="", device="cpu"):
    tensor = random_tensors(config, 1, device=device, dtype=torch.bfloat16)
    precision = Precision(torch.bfloat16, weights)
    return tuple(
        build(kind, config, "random", tensor, device=device, precision=precision)
        for kind in (Backbone, DepthDecoder)
    )


def fill(backbone, depth, takes, position):
    """A state of random numbers whose next row stands at ``position``.

    The first and the last past position have larger values than the others, so that missing one shows.
    Later positions are larger still, so that reading them shows.
    """
    state = FrameState.make(backbone, depth, takes, CAPACITY, FRAMES)
    device = state.x.device
    generator = torch.Generator(device).manual_seed(7)
    state.x.normal_(generator=generator)
    for table in (state.cache.keys, state.cache.values):
        table.normal_(generator=generator)
        table[:, :, :, position:] = 1000
    edges = [0, position - 1] if position else []
    state.cache.values[:, :, :, edges] *= 20
    state.position.fill_(position)
    state.counter.fill_(FRAME)
    state.u.copy_(uniforms(list(range(takes)), FRAMES, backbone.config.codebooks))
    state.codes.fill_(-1)
    for table in (state.log_p, state.hidden):
        table.fill_(float("nan"))
    return state


def compute(step, backbone, depth, takes, sampling=Sampling(0.9, 30), position=100, u=None):
    """A frame of ``step`` (the class), computed from the same state for every step."""
    state = fill(backbone, depth, takes, position)
    if u is not None:
        state.u.copy_(u)
    frame = step(backbone, depth, sampling, state)
    frame()
    return frame
