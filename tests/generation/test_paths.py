"""What paths need."""

import pytest
import torch
from make_tiny import MODEL

from miso.checkpoints.build import build, random_tensors
from miso.checkpoints.devices import Precision
from miso.generation.depth import DepthSampler
from miso.generation.frame import FrameState
from miso.generation.paths import state_bytes
from miso.model.networks import Backbone, DepthDecoder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_memory_of_a_run_is_known_before_it(dtype):
    tensor, precision = random_tensors(MODEL, 0), Precision(dtype)
    backbone, decoder = (
        build(network, MODEL, "", tensor, device="cpu", precision=precision)
        for network in (Backbone, DepthDecoder)
    )
    takes, rows = 3, 512
    state = FrameState.make(backbone, DepthSampler(decoder), takes, rows, rows)
    tensors = [value for value in vars(state).values() if isinstance(value, torch.Tensor)]
    kept = state.cache.takes(0, 1)  # of the prompt, for the next run
    caches = (state.cache.keys, state.cache.values, kept.keys, kept.values)
    real = sum(t.nbytes for t in (*tensors, *caches))
    assert state_bytes(MODEL, takes, rows - 200, dtype) == pytest.approx(real, rel=0.02)
