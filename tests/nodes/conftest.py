"""What most tests of blocks begin with."""

import pytest
import torch


@pytest.fixture
def fresh(comfy):
    comfy.reset()
    return comfy


@pytest.fixture
def other(fresh):
    """A file of codes in ComfyUI's input folder: what ``edit_graph`` and ``small_graph`` load."""
    codes = fresh.module("miso.codes")
    tensor = torch.randint(0, 64, (1, 8, 12), generator=torch.Generator().manual_seed(1))
    made = codes.Codes(
        tensor,
        [12],
        "tiny",
        codebook_size=64,
        takes=(codes.Take(5, "eos", (codes.Span(0, 12, "Another line.", 1),)),),
    )
    made.save(fresh.base / "input" / "edit_other.safetensors")
    return made
