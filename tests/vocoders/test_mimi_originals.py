"""Our Mimi against the two published implementations, with the same random weights of the published size.

``test_vocoder`` compares them at a small size past the window; long sounds at this size are slow tests.
"""

import os

import pytest
import torch
from safetensors.torch import save_file

from miso.files import read_header
from miso.vocoders import load_vocoder
from miso.vocoders.mimi import load_mimi
from miso.vocoders.mimi.layouts import to_hugging_face
from miso.vocoders.mimi.weights import published_tensors

TOLERANCE = 1e-4
slow = pytest.mark.slow
# 400 frames are 800 tokens, past three windows
LENGTHS = (20, *(pytest.param(frames, marks=slow) for frames in (1, 125, 400)))


@pytest.fixture(scope="module")
def moshi(full_file):
    os.environ["NO_TORCH_COMPILE"] = os.environ["NO_CUDA_GRAPH"] = "1"
    loaders = pytest.importorskip("moshi.models.loaders")
    return loaders.get_mimi(full_file, num_codebooks=32)


@pytest.fixture(scope="module")
def hugging_face_folder(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hugging_face")
    save_file(to_hugging_face(published_tensors(full), 8), folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def transformers(hugging_face_folder):
    from importlib.metadata import version

    pytest.importorskip("transformers")
    if tuple(map(int, version("transformers").split(".")[:2])) < (5, 3):
        pytest.skip("transformers before 5.3 decodes Mimi wrongly past 10 s")
    from transformers import MimiConfig, MimiModel

    MimiConfig().save_pretrained(hugging_face_folder)
    model, report = MimiModel.from_pretrained(hugging_face_folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    return model.eval()


@pytest.fixture(scope="module")
def clips():
    """20 clips of ragged length, up to 3 s: noise of rising volume, for loud and quiet frames."""
    generator = torch.Generator().manual_seed(5)
    lengths = [1, 1919, 1920, 1921, *torch.randint(2000, 72_000, (16,), generator=generator).tolist()]
    return [torch.randn(1, 1, n, generator=generator) * torch.linspace(0.01, 0.5, n) for n in lengths]


@pytest.mark.parametrize("frames", LENGTHS)
def test_decoding_agrees_with_moshi(full, moshi, draw, frames):
    codes = draw(full, frames)
    with torch.no_grad():
        expected = moshi.decode(codes)
    assert (full.decode(codes) - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("frames", LENGTHS)
def test_decoding_agrees_with_transformers(full, transformers, draw, frames):
    codes = draw(full, frames)
    with torch.no_grad():
        expected = transformers.decode(codes).audio_values
    assert (full.decode(codes) - expected).abs().max() <= TOLERANCE


@slow
def test_fewer_codebooks_decode_as_in_moshi(full, moshi, draw):
    for count in (1, 8):
        codes = draw(full, 20)[:, :count]
        with torch.no_grad():
            assert (full.decode(codes) - moshi.decode(codes)).abs().max() <= TOLERANCE


CLIPS = (slice(3, 6), pytest.param(slice(None), marks=slow))


@pytest.mark.parametrize("some", CLIPS, ids=["some", "all"])
def test_encoding_agrees_with_moshi_in_every_code(full, moshi, clips, some):
    for clip in clips[some]:
        with torch.no_grad():
            assert torch.equal(full.encode(clip), moshi.encode(clip))


@pytest.mark.parametrize("some", CLIPS, ids=["some", "all"])
def test_encoding_agrees_with_transformers_in_every_code(full, transformers, clips, some):
    for clip in clips[some]:
        whole = torch.nn.functional.pad(clip, (0, -clip.shape[-1] % 1920))
        with torch.no_grad():
            assert torch.equal(full.encode(clip), transformers.encode(whole, num_quantizers=32).audio_codes)


@slow
def test_both_published_layouts_load_to_the_same_bits(full, full_file, hugging_face_folder):
    for path in (full_file, hugging_face_folder / "model.safetensors"):
        loaded = load_mimi(path)
        assert loaded.config == full.config and loaded.codec == "mimi-e351c8d8"
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), full.parameters(), strict=True))


def test_files_saved_again_by_moshi_load(small, small_file, tmp_path):
    pytest.importorskip("moshi")
    names = load_vocoder("moshi", small_file).module.state_dict()
    assert any(".in_projs.0." in name for name in names)  # their other spelling
    save_file(names, tmp_path / "again.safetensors", read_header(small_file)[0])
    loaded = load_mimi(tmp_path / "again.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), small.parameters(), strict=True))
