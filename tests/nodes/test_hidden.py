"""Hidden States in ComfyUI: a sampler's own states come back, and codes with few codebooks are filled up."""

import torch
from harness.graphs import graph


def filling(count: int, keep: int, **changes) -> dict:
    """The sampler's codes (3), cut to ``count`` codebooks (9), through Hidden States (8) to Redecode (10)."""
    prompt = graph(**changes)
    prompt["5"]["inputs"]["codes"] = ["10", 0]
    return prompt | {
        "8": {
            "class_type": "MisoHiddenStates",
            "inputs": {"backbone": ["1", 0], "conditioning": ["2", 0], "codes": ["9", 0]},
        },
        "9": {"class_type": "MisoKeepCodebooks", "inputs": {"codes": ["3", 0], "count": count}},
        "10": {
            "class_type": "MisoDepthRedecode",
            "inputs": {
                "depth": ["1", 1],
                "hidden": ["8", 0],
                "codes": ["9", 0],
                "seed": 3,
                "keep": keep,
                "temperature": 0.9,
                "top_k": 50,
            },
        },
    }


def test_a_samplers_states_and_codes_come_back(fresh):
    done = fresh.run(filling(8, 1))
    assert done.ok, done.error
    codes, hidden = fresh.value(3), fresh.value(3, 1)
    torch.testing.assert_close(fresh.value(8).tensor, hidden.tensor, rtol=0, atol=1e-4)
    assert fresh.value(10).tensor.equal(codes.tensor) and codes.batch == 2
    assert done.ran.count("8") == 1 and any(event == "progress" for event, _ in done.events)


def test_few_codebooks_become_all_and_the_sampler_runs_once(fresh):
    assert fresh.run(filling(3, 3)).ok
    codes, filled = fresh.value(3), fresh.value(10)
    assert filled.codebooks == 8 and filled.tensor[:, :3].equal(codes.tensor[:, :3])
    assert fresh.value(5)["waveform"].shape == (2, 1, 10 * 1920)
    again = fresh.run(filling(3, 2))
    assert again.ok and "3" not in again.ran and "8" not in again.ran


def test_what_is_wrong_is_said_at_its_input(fresh):
    prompt = filling(3, 3, n2__text="one two three. " * 10)
    codes = fresh.module("miso.codes").Codes
    assert fresh.run(prompt).ok
    fresh.replace(9, codes(torch.ones(1, 8, 2040, dtype=torch.int64), [2040], "tiny", codebook_size=64))
    prompt["8"]["inputs"]["conditioning"] = ["11", 0]  # so that it runs again, on these codes
    prompt["11"] = {**prompt["2"], "inputs": {**prompt["2"]["inputs"], "speaker": 1}}
    error = fresh.run(prompt).error
    assert error.startswith("Hidden States, codes: Trim the codes"), error
