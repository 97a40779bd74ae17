"""The golden fixture's model, loaded once per session, and a way to run the frame loop on it."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from miso.checkpoints.checkpoint import Checkpoint
from miso.generation.depth import DepthSampler
from miso.generation.loop import FrameLoop
from miso.text.conditioning import Prompt, Segment

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def golden_paths():
    """The paths of the model and of its expected outputs."""
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
    """``run(seeds, frames)`` returns a frame loop that has finished."""

    def run(seeds, frames=40, *, depth=None, **options):
        depth = depth or DepthSampler(decoder)
        loop = FrameLoop(backbone, depth, prompt, seeds=seeds, max_frames=frames, keep_hidden=True, **options)
        for _ in loop:
            pass
        return loop

    return run
