"""Keys of stored codes: what a user's store already holds must still be found."""

import torch

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
