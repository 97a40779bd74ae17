"""What samplers keep of earlier runs: used again instead of sampling, and chosen by what it says."""

import torch
from harness.graphs import graph
from safetensors.torch import load_file

# for a server's Python: names of opened .safetensors files, one a line
NOTE_OPENED = """
import os, sys
def note(event, args):
    if event == "open" and str(args[0]).endswith(".safetensors"):
        os.write(file, os.path.basename(str(args[0])).encode() + b"\\n")
file = os.open(os.environ["MISO_TEST_OPENED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(note)
"""


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


def _kept(done) -> bool:
    """Whether the sampler says that its codes were kept from before; it says so or not in each run."""
    return {(True,): True, (False,): False}[tuple(done.outputs["3"]["miso_kept"])]


def test_what_was_sampled_before_a_restart_loads_no_model(fresh):
    first = fresh.run(graph())
    assert not _kept(first)
    codes, hidden = fresh.value(3), fresh.value(3, 1)
    fresh.reset()  # as a restart does, this leaves the disk alone
    fresh.model_management.unload_all_models()
    again = fresh.run(graph())
    assert again.ok and "3" in again.ran and _kept(again)
    assert not [
        d for e, d in again.events if e == "progress" and d["value"] < d["max"]
    ]  # only the vocoder's one chunk
    assert (
        fresh.value(3).tensor.equal(codes.tensor)
        and fresh.value(3).takes == codes.takes
        and fresh.value(3, 1).tensor.equal(hidden.tensor)
    )
    assert fresh.value(1).loaded is None and fresh.value(1, 1).part.loaded is None
    for change in (
        {"n3__seed": 4},
        {"n2__text": "Another line."},
        {"n3__temperature": 0.8},
        {"n3__max_seconds": 0.72},
        {"n1__precision": "bf16"},
        {"n3__keep": False},
    ):
        fresh.reset()
        assert not _kept(fresh.run(graph(**change))), change


def test_damaged_codes_are_sampled_again(fresh):
    assert fresh.run(graph()).ok
    codes = fresh.value(3)
    entry = next(
        p for p in (fresh.base / "user" / "miso_store").glob("*.safetensors") if "hidden" not in p.name
    )
    content = bytearray(entry.read_bytes())
    content[-30] ^= 1
    entry.write_bytes(content)
    fresh.reset()
    again = fresh.run(graph())
    assert again.ok and not _kept(again) and fresh.value(3).tensor.equal(codes.tensor)
    fresh.reset()
    assert _kept(fresh.run(graph()))


def test_over_a_real_restart(start_server, tmp_path, monkeypatch):
    """Kept codes are the very ones, and no file of the model is opened for them."""
    (tmp_path / "sitecustomize.py").write_text(NOTE_OPENED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = []
    for kept in (False, True):
        monkeypatch.setenv("MISO_TEST_OPENED", str(tmp_path / f"opened {kept}"))
        with start_server() as server:
            outputs = server.queue(graph(n3__seed=99))
            assert outputs["3"]["miso_kept"] == [kept]
            made.append(load_file(server.file(outputs["7"]["codes"][0]))["codes"])
        opened = (tmp_path / f"opened {kept}").read_text().splitlines()
        assert "tiny-codec.safetensors" in opened and ("tiny.safetensors" in opened) == (not kept)
    assert made[0].equal(made[1])
