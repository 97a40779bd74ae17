"""Keys of stored codes: they tell apart what differs, and a user's store must still be found by them."""

from dataclasses import replace

import torch
from codes.entries import make

from miso.codes.codes import Codes
from miso.generation.keys import codes_key
from miso.model.sampling import Sampling
from miso.text.conditioning import Prompt, Segment


def test_a_key_stays_what_it_was():
    """As computed by version 0.1.0. A change on purpose bumps the version and is a line in CHANGELOG."""
    prompt = Prompt(torch.arange(12).reshape(3, 4), torch.ones(3, 4, dtype=torch.bool), Segment("Hello.", 1))
    key = codes_key(
        fingerprint="f",
        precision="bf16",
        prompt=prompt,
        sampling=Sampling(),
        depth_sampling=Sampling(0.5, 10),
        seeds=[7],
        max_frames=12,
        codebooks=8,
        prefix=Codes(torch.ones(1, 8, 2, dtype=torch.int64), [2], "nano"),
    )
    assert key == "250c3634f3f75a612ecd50b294159888f2772163f16b399da5d5a22c5cfb26c7"


def test_a_seed_beyond_32_bits_has_another_key_than_before():
    """Its codes are others since all 64 bits count."""
    prompt = Prompt(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.bool), Segment("x"))
    common = {
        "fingerprint": "f",
        "precision": "bf16",
        "prompt": prompt,
        "sampling": Sampling(),
        "max_frames": 1,
    }
    keys = {
        codes_key(**common, depth_sampling=Sampling(), seeds=[seed], codebooks=8)
        for seed in (1, 2**32 + 1, 2**40)
    }
    assert len(keys) == 3


def test_the_key_depends_on_everything_that_determines_the_codes():
    rows = torch.arange(12).reshape(3, 4)
    base = {
        "fingerprint": "m",
        "precision": "bf16",
        "prompt": Prompt(rows, rows > 5, Segment("Hello.", 0)),
        "sampling": Sampling(0.9, 50),
        "depth_sampling": Sampling(0.9, 50),
        "seeds": [1],
        "max_frames": 10,
        "codebooks": 32,
        "prefix": None,
    }
    prompt = base["prompt"]
    changes = [
        {"fingerprint": "n"},
        {"precision": "fp32"},
        {"prompt": replace(prompt, rows=rows + 1)},
        {"prompt": replace(prompt, mask=rows > 6)},
        {"prompt": replace(prompt, rows=rows[None], mask=prompt.mask[None])},
        {"prompt": replace(prompt, line=Segment("Hello.", 1))},
        {"sampling": Sampling(0.8, 50)},
        {"depth_sampling": Sampling(0.9, 0)},
        {"seeds": [2]},
        {"seeds": [1, 2]},
        {"max_frames": 11},
        {"codebooks": 8},
        {"prefix": make(0)[0]},
        {"prefix": make(1)[0]},
        {"prefix": make(0)[0].take(0)},
    ]
    keys = [codes_key(**base), *(codes_key(**{**base, **change}) for change in changes)]
    assert len(set(keys)) == len(keys) and codes_key(**base) == keys[0]
    assert all(len(key) == 64 for key in keys)
