"""Kept Codes: results of earlier runs, chosen by what they say."""

import torch


def test_kept_codes_are_chosen_by_what_they_say(fresh, other):
    nodes = fresh.module("nodes.store")
    store = nodes.store()
    assert store.folder == fresh.base / "user" / "miso_store"
    hidden = fresh.module("miso.codes").Hidden(torch.randn(1, 12, 4), torch.tensor([12]), "m")
    store.put("a" * 64, other, hidden)
    store.put("b" * 64, other)
    choices = fresh.object_info["MisoStoredCodes"]["input"]["required"]["kept"][1]["options"]
    assert set(choices) == {f"Another line. | 1.0 s, seed 5 | {key * 12}" for key in "ab"}

    def prompt(choice):
        return {
            "1": {"class_type": "MisoStoredCodes", "inputs": {"kept": choice}},
            "2": {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["1", 0]}},
        }

    done = fresh.run(prompt(sorted(choices)[0]))
    assert done.ok, done.error
    assert fresh.value(1).tensor.equal(other.tensor) and fresh.value(1, 1).tensor.equal(hidden.tensor)
    assert fresh.run(prompt(sorted(choices)[1])).ok and fresh.value(1).takes == other.takes
    store.clear()
    fresh.reset()
    done = fresh.run(prompt(sorted(choices)[0]))
    assert not done.ok and "no longer kept" in done.error
