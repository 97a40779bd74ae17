"""The golden fixture's model, loaded once, and a way to run the frame loop on it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from miso.checkpoint import Checkpoint
from miso.conditioning import Prompt, Segment
from miso.depth import DepthSampler
from miso.frames import FrameLoop

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="session")
def golden_paths():
    return FIXTURES / "parity_a.model.safetensors", FIXTURES / "parity_a.expected.safetensors"


@pytest.fixture(scope="session")
def expected(golden_paths):
    return load_file(golden_paths[1])


@pytest.fixture(scope="session")
def checkpoint(golden_paths):
    return Checkpoint(golden_paths[0])


@pytest.fixture(scope="session")
def backbone(checkpoint):
    return checkpoint.load_backbone()


@pytest.fixture(scope="session")
def decoder(checkpoint):
    return checkpoint.load_depth()


@pytest.fixture(scope="session")
def prompt(expected):
    return Prompt(expected["prompt_tokens"].long(), expected["prompt_mask"], Segment("golden"))


@pytest.fixture(scope="session")
def run(backbone, decoder, prompt):
    """``run(seeds, frames)``: a frame loop that has run to its end."""

    def run(seeds, frames=40, *, depth=None, **options):
        loop = FrameLoop(backbone, depth or DepthSampler(decoder), prompt, seeds=seeds, max_frames=frames, keep_hidden=True, **options)
        for _ in loop:
            pass
        return loop

    return run


@pytest.fixture(autouse=True)
def one_thread():
    """Two OpenMP threads wait for each other longer than these small matrices take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
