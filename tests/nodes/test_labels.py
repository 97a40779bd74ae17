"""What stands on a user's disk reaches widgets as text, and nothing that stands there takes a block away."""

import os
import subprocess
import sys

import pytest
import torch

SCRIPT = '<img src=x onerror="window.misoScript=1">'
INPUT = {
    "MisoLoadCodes": "file",
    "MisoStoredCodes": "kept",
    "MisoLoadModel": "checkpoint",
    "MisoLoadVocoder": "checkpoint",
}


def codes(comfy, text: str):
    module = comfy.module("miso.codes")
    take = module.Take(5, "limit", (module.Span(0, 3, text),))
    return module.Codes(torch.ones(1, 8, 3, dtype=torch.int64), [3], "tiny", codebook_size=64, takes=(take,))


@pytest.fixture
def hostile(comfy):
    """Files and a kept entry whose names and texts are markup."""
    comfy.reset()
    made = codes(comfy, SCRIPT)
    folder = comfy.base / "output" / "codes" / "<b>bold&amp;<"
    made.save(folder / "<img src=x onerror=alert(1)>.safetensors")
    made.save(comfy.base / "input" / 'quote".safetensors')
    nodes = comfy.module("nodes.store")
    hidden = comfy.module("miso.codes").Hidden(torch.zeros(1, 3, 4), torch.tensor([3]), "m")
    assert nodes.store().put("c" * 64, made, hidden)
    models = [comfy.base / "models" / name / "<script>x.safetensors" for name in ("miso", "miso_vocoders")]
    for model in models:
        model.write_bytes(b"")
    yield comfy
    for model in models:
        model.unlink()
    (comfy.base / "input" / 'quote".safetensors').unlink()
    subprocess.run(["rm", "-r", folder], check=True)


def options(comfy, node: str) -> list[str]:
    return comfy.nodes.NODE_CLASS_MAPPINGS[node].INPUT_TYPES()["required"][INPUT[node]][1]["options"]


@pytest.mark.parametrize("node", INPUT)
def test_no_choice_holds_markup(hostile, node):
    assert any("‹" in choice for choice in options(hostile, node))
    assert not any(set(choice) & set('<>&"') for choice in options(hostile, node))


def test_a_choice_maps_back_to_its_file(hostile):
    found = [choice for choice in options(hostile, "MisoLoadCodes") if "‹img" in choice or "quote" in choice]
    assert len(found) == 2
    kept = next(choice for choice in options(hostile, "MisoStoredCodes") if "‹img" in choice)
    for node, choice in (*(("MisoLoadCodes", choice) for choice in found), ("MisoStoredCodes", kept)):
        hostile.reset()
        done = hostile.run(
            {
                "1": {"class_type": node, "inputs": {INPUT[node]: choice}},
                "2": {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["1", 0]}},
            }
        )
        assert done.ok, done.error
        assert hostile.value(1).takes[0].spans[0].text == SCRIPT


ODD = """
import os, sys
os.chdir(sys.argv[1])
os.makedirs("output/codes/loop", exist_ok=True)
for link in ("input/gone.safetensors", "output/codes/gone.safetensors"):
    os.symlink("nowhere", link)
os.symlink("itself.safetensors", "input/itself.safetensors")
os.symlink("..", "output/codes/loop/up")
os.makedirs("input/folder.safetensors", exist_ok=True)
os.mkfifo("input/fifo.safetensors")
open("input/\\udcff\\udcfe.safetensors", "wb").close()
"""


def test_nothing_on_disk_takes_a_block_away(comfy):
    nodes = [name for name in comfy.nodes.NODE_CLASS_MAPPINGS if name.startswith("Miso")]
    subprocess.run([sys.executable, "-c", ODD, comfy.base], check=True)
    store = comfy.module("nodes.store").store().folder
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_text("a file where the store should be")
    try:
        for name in nodes:
            assert comfy.nodes.NODE_CLASS_MAPPINGS[name].GET_NODE_INFO_V1()["name"] == name
        choices = options(comfy, "MisoLoadCodes")
        assert not any(odd in choice for choice in choices for odd in ("gone", "itself", "folder", "fifo"))
        "".join(choices).encode()  # JSON carries no lone surrogates
    finally:
        store.unlink()
        for path in ("input/gone", "input/itself", "input/fifo", "output/codes/gone", "input/\udcff\udcfe"):
            os.unlink(comfy.base / f"{path}.safetensors")
        os.rmdir(comfy.base / "input" / "folder.safetensors")
        os.unlink(comfy.base / "output/codes/loop/up")


def test_codes_that_can_not_be_saved_go_on(comfy, monkeypatch):
    """A full disk, as the engine reports it: what was sampled reaches the blocks after Save Codes."""
    error = comfy.module("miso.errors").MisoError("x can't be written: no space left.", "Free some space.")

    def full(*_):
        raise error

    monkeypatch.setattr(comfy.module("miso.codes.codes"), "write_tensors", full)
    from harness.graphs import graph

    prompt = graph()
    prompt["5"]["inputs"]["codes"] = ["7", 0]
    comfy.reset()
    done = comfy.run(prompt)
    assert done.ok, done.error
    assert done.outputs["7"]["codes"] == [] and comfy.value(5)["waveform"].shape[-1] > 0
