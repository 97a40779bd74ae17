"""Import Codes in ComfyUI: files are found, one reading is taken, and a wrong choice is said at its input."""

import shutil

import numpy as np
import pytest
import torch
from harness.graphs import graph
from make_examples import LINE
from safetensors.torch import save_file

from miso.codes.codes import Codes


@pytest.fixture
def fresh(comfy):
    comfy.reset()
    (comfy.base / "input" / "mine").mkdir(exist_ok=True)
    yield comfy
    shutil.rmtree(comfy.base / "input" / "mine")


def ids(codebooks: int, frames: int = 12, most: int = 64) -> torch.Tensor:
    return torch.randint(1, most, (codebooks, frames), generator=torch.Generator().manual_seed(7))


def importing(file: str, layout: str = "plain", vocoder: bool = False, **inputs) -> dict:
    chosen = {"file": file, "layout": layout, "delays": "(choose)", "stream": "model", "transcript": ""}
    chosen |= {"speaker": 0, **({"vocoder": ["4", 0]} if vocoder else {}), **inputs}
    return {
        "1": {"class_type": "MisoImportCodes", "inputs": chosen},
        "2": {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["1", 0]}},
        "4": graph()["4"],
    }


def test_imported_codes_are_decoded_like_any_other(fresh):
    np.save(fresh.base / "input" / "mine" / "a.npy", ids(8).numpy().astype(np.int16))
    prompt = importing("mine/a.npy", vocoder=True, transcript="Hello.", speaker=3)
    prompt["5"] = {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["1", 0], "vocoder": ["4", 0]}}
    prompt["6"] = {"class_type": "PreviewAudio", "inputs": {"audio": ["5", 0]}}
    done = fresh.run(prompt)
    assert done.ok, done.error
    codes = fresh.value(1)
    assert codes.tensor[0].equal(ids(8)) and (codes.takes[0].text, codes.codec) == ("Hello.", "tiny")
    assert done.lines("1") == ["1.0 s, 8 codebooks of tiny"]
    assert fresh.value(5)["waveform"].shape == (1, 1, 12 * 1920)
    np.save(fresh.base / "input" / "mine" / "a.npy", ids(8, 40).numpy())  # replaced under the same name
    assert fresh.run(prompt).ok and fresh.value(1).frames == 40


def test_files_of_integers_are_offered_and_no_others(fresh):
    folder = fresh.base / "input" / "mine"
    np.save(folder / "a.npy", ids(8).numpy())
    save_file({"codes": ids(8)}, folder / "b.safetensors")
    save_file({"weights": torch.rand(3, 4)}, folder / "c.safetensors")
    Codes(ids(8)[None], [12], "tiny").save(folder / "ours.safetensors")
    (folder / "d.txt").write_text("")
    nodes = fresh.nodes.NODE_CLASS_MAPPINGS
    listed = nodes["MisoImportCodes"].INPUT_TYPES()["required"]["file"][1]["options"]
    assert {name for name in listed if "mine" in name} == {"mine/a.npy", "mine/b.safetensors"}
    ours = nodes["MisoLoadCodes"].INPUT_TYPES()["required"]["file"][1]["options"]
    assert {name for name in ours if "mine" in name} == {"mine/ours.safetensors"}


def test_the_example_is_nanos_and_is_filled_up(fresh):
    """Three of eight codebooks, through Hidden States, become all; and two vocoders of them are blended."""
    nano = {
        "class_type": "MisoLoadVocoder",
        "inputs": {"backend": "auto", "checkpoint": "nano-vocoder.safetensors"},
    }
    prompt = importing("three_codebooks.npy [example]", vocoder=True) | {
        "4": nano,
        "6": {
            "class_type": "MisoLoadModel",
            "inputs": {"checkpoint": "nano.safetensors", "precision": "auto"},
        },
        "7": {
            "class_type": "MisoEncodeText",
            "inputs": {"text_encoder": ["6", 2], "text": LINE, "speaker": 0},
        },
        "8": {
            "class_type": "MisoHiddenStates",
            "inputs": {"backbone": ["6", 0], "conditioning": ["7", 0], "codes": ["1", 0]},
        },
        "9": {
            "class_type": "MisoDepthRedecode",
            "inputs": {
                "depth": ["6", 1],
                "hidden": ["8", 0],
                "codes": ["1", 0],
                "seed": 1,
                "keep": 3,
                "temperature": 0.25,
                "top_k": 50,
            },
        },
        "10": {**nano, "inputs": {"backend": "auto", "checkpoint": "nano-codec.safetensors"}},
        "11": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["9", 0], "vocoder": ["4", 0]}},
        "12": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["9", 0], "vocoder": ["10", 0]}},
        "13": {
            "class_type": "MisoBlend",
            "inputs": {"a": ["11", 0], "b": ["12", 0], "share": 1.0, "start": 1.0, "end": 2.0},
        },
        "14": {"class_type": "MisoCompare", "inputs": {"a": ["11", 0], "b": ["12", 0], "c": ["13", 0]}},
    }
    done = fresh.run(prompt)
    assert done.ok, done.error
    few, filled = fresh.value(1), fresh.value(9)
    assert (few.codebooks, filled.codebooks, few.codec) == (3, 8, filled.codec)
    assert filled.tensor[:, :3].equal(few.tensor) and few.frames > 25
    sound = fresh.value(13)["waveform"]
    assert sound.shape[-1] == few.frames * 1920 and fresh.value(14).count("dB from a") == 2
    inside = slice(24_000 + 480, 48_000 - 480)
    assert sound[..., inside].equal(fresh.value(12)["waveform"][..., inside])
    assert sound[..., 48_000:].equal(fresh.value(11)["waveform"][..., 48_000:])


@pytest.mark.parametrize(
    "inputs, words",
    [
        ({"layout": "(choose)"}, "layout: Choose the model that wrote the file"),
        (
            {"layout": "csm"},
            "layout: Choose the layout that made the file: Miso and Sesame's CSM has 32 rows",
        ),
        ({"layout": "moshi"}, "delays: Choose whether the delays of Moshi"),
        (
            {"layout": "dia2", "delays": "still in the file", "own_delays": "1, x"},
            "own_delays: Write numbers",
        ),
        ({"axes": "TK"}, None),
        ({"tensor": "gone", "file": "mine/b.safetensors"}, "tensor: Write the name of the tensor"),
        ({"file": "../../secret.npy"}, "file: '../../secret.npy' lies outside ComfyUI's folders"),
        ({"file": "mine/gone.npy"}, "file: File missing: put 'gone.npy' into"),
        (
            {"file": "mine/hibiki.npy"},
            "file: Only codes of Mimi can be imported: 'hibiki' names Hibiki's Mimi",
        ),
        ({"layout": "lfm2-audio", "vocoder": ["4", 0]}, "layout: Disconnect the vocoder"),
    ],
)
def test_what_is_wrong_is_said_at_its_input(fresh, inputs, words):
    for name in ("a", "hibiki"):
        np.save(fresh.base / "input" / "mine" / f"{name}.npy", ids(8).numpy())
    save_file({"codes": ids(8)}, fresh.base / "input" / "mine" / "b.safetensors")
    done = fresh.run(importing(**{"file": "mine/a.npy", **inputs}))
    if words is None:
        assert done.ok and fresh.value(1).tensor[0].equal(ids(8).T)
    else:
        assert done.error.startswith(f"Import Codes, {words}"), done.error
