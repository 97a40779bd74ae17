"""The same codes through every backend that is at hand, side by side, in ComfyUI."""

import importlib.util
import shutil

import pytest
import torch
from harness.graphs import graph

from miso.codes.codes import Codes
from miso.tools.export import export_codec
from miso.vocoders.lfm2 import Detokenizer, DetokenizerConfig, save_detokenizer

OTHERS = ["moshi", "transformers", "onnx"]  # backends of a codec's weights, beside mimi


@pytest.fixture
def exported(fresh):
    """The tiny codec for ONNX Runtime, in ComfyUI's models folder."""
    folder = fresh.base / "models" / "miso_vocoders"
    export_codec(folder / "tiny-codec.safetensors", path := folder / "tiny-codec.onnx")
    yield path.name
    path.unlink()


def beside(backends: list[str], file: str) -> dict:
    """The graph of all tests, with a Load Vocoder (a_NAME) and a Vocoder Decode (b_NAME) for each backend."""
    prompt = graph()
    for name in backends:
        checkpoint = file if name == "onnx" else "tiny-codec.safetensors"
        prompt[f"a_{name}"] = {
            "class_type": "MisoLoadVocoder",
            "inputs": {"backend": name, "checkpoint": checkpoint},
        }
        decode = {"codes": ["3", 0], "vocoder": [f"a_{name}", 0]}
        prompt[f"b_{name}"] = {"class_type": "MisoVocoderDecode", "inputs": decode}
        saved = {"audio": [f"b_{name}", 0], "filename_prefix": name}
        prompt[f"c_{name}"] = {"class_type": "SaveAudio", "inputs": saved}
    return prompt


def test_every_backend_decodes_what_was_sampled_once(fresh, exported):
    at_hand = [name for name in OTHERS if name == "onnx" or importlib.util.find_spec(name)]
    done = fresh.run(beside(at_hand, exported))
    assert done.ok, done.error
    assert done.ran.count("3") == 1 and {f"b_{name}" for name in at_hand} < set(done.ran)
    expected = fresh.value(5)["waveform"]  # by mimi
    for name in at_hand:
        sound = fresh.value(f"b_{name}")
        assert sound["sample_rate"] == 24_000 and sound["waveform"].shape == expected.shape
        assert (sound["waveform"] - expected).abs().max() < 1e-4
    again = fresh.run(beside(at_hand, exported) | graph(n4__backend="auto", n4__checkpoint=exported))
    assert again.ok and "3" not in again.ran and "5" in again.ran


@pytest.mark.parametrize("precision, least", [("fp16", 40), ("bf16", 25)])
def test_backends_decode_in_half_precision(fresh, exported, precision, least):
    """Whose distance from fp32 is that of the format; an exported file has a precision of its own."""
    assert fresh.run(graph()).ok
    expected = fresh.value(5)["waveform"]
    for backend in ("mimi", "moshi", "transformers"):
        if backend != "mimi" and not importlib.util.find_spec(backend):
            continue
        done = fresh.run(graph(n4__backend=backend, n4__precision=precision))
        assert done.ok and "3" not in done.ran, done.error
        noise = (fresh.value(5)["waveform"] - expected).square().mean()
        assert least < 10 * (expected.square().mean() / noise).log10() < 90
    error = fresh.run(graph(n4__backend="onnx", n4__checkpoint=exported, n4__precision=precision)).error
    assert error.startswith(
        "Load Vocoder, precision: The backend 'onnx' decodes in the precision of its file"
    )


def test_a_file_for_the_wrong_backend_is_refused(fresh, exported):
    error = fresh.run(graph(n4__backend="onnx")).error
    assert error.startswith("Load Vocoder: tiny-codec.safetensors is not an ONNX file"), error
    assert "miso export" in error
    listed = fresh.nodes.NODE_CLASS_MAPPINGS["MisoLoadVocoder"].INPUT_TYPES()["required"]["checkpoint"][1]
    assert exported in listed["options"]
    assert fresh.run(graph(n4__backend="auto", n4__checkpoint=exported)).ok


def test_the_detokenizer_of_lfm2_says_its_licence_and_needs_8_codebooks(fresh):
    """A small one; the codes are of Mimi, as no small codec's are."""
    folder, codes = (
        fresh.base / "models" / "miso_vocoders" / "lfm2",
        fresh.base / "input" / "mimi.safetensors",
    )
    folder.mkdir()
    save_detokenizer(folder / "model.safetensors", Detokenizer(DetokenizerConfig(8, 8, ("conv",))))
    prompt = {
        "1": {"class_type": "MisoLoadCodes", "inputs": {"file": codes.name}},
        "4": graph()["4"],
        "5": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["1", 0], "vocoder": ["4", 0]}},
        "6": {"class_type": "PreviewAudio", "inputs": {"audio": ["5", 0]}},
    }
    prompt["4"]["inputs"] = {"backend": "auto", "checkpoint": "lfm2/model.safetensors"}
    try:
        Codes(torch.randint(0, 2048, (1, 32, 10)), [10], "mimi-e351c8d8").save(codes)
        done = fresh.run(prompt)
        assert done.ok and "LFM Open License" in done.lines("4")[0], done.error
        assert fresh.value(5)["waveform"].shape == (1, 1, 19_200)
        Codes(torch.randint(0, 2048, (1, 4, 10)), [10], "mimi-e351c8d8").save(codes)
        error = fresh.run(prompt).error
        assert error.startswith("Vocoder Decode") and "needs 8 codebooks; these codes have 4" in error
    finally:
        shutil.rmtree(folder)
        codes.unlink()
