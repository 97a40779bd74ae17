"""The ISTFT vocoder: streams what it decodes, at any chunk size; its files say what they are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miso.codes import Codes
from miso.errors import MisoError
from miso.files import open_tensors, read_header, write_tensors
from miso.info import info
from miso.istft import Istft, IstftConfig, load_istft, save_istft
from miso.places import find_codec, find_vocoder
from miso.vocoder import decode_codes, load_vocoder

HOP = 1920 // 8


@pytest.fixture(scope="module")
def file(small, tmp_path_factory):
    torch.manual_seed(0)
    net = Istft(small.config, IstftConfig(width=24, inner=32, frame_blocks=1, hop_blocks=2), small.codec)
    net.quantizer.load_state_dict({n: t for n, t in small.quantizer.state_dict().items() if "input_proj" not in n})
    path = tmp_path_factory.mktemp("istft") / "vocoder.safetensors"
    save_istft(path, net)
    return path


@pytest.fixture(scope="module")
def vocoder(file):
    return load_vocoder("istft", file)


@given(cuts=st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_a_stream_gives_what_decoding_gives(vocoder, small, cuts):
    frames = sum(cuts)
    codes = torch.randint(0, 64, (2, 8, frames), generator=torch.Generator().manual_seed(frames))
    whole, stream, parts, sent = vocoder.decode(codes), vocoder.stream(2), [], 0
    for part in codes.split(cuts, 2):
        parts.append(stream.push(part))
        sent += part.shape[2]
        assert sum(p.shape[2] for p in parts) == sent * 1920 - vocoder.look_ahead  # it says what it holds back
    wave = torch.cat((*parts, stream.flush()), 2)
    assert vocoder.exact_streaming and wave.shape == whole.shape == (2, 1, frames * 1920)
    assert (wave - whole).abs().max() < 1e-5 and stream.flush().shape == (2, 1, 0)
    assert torch.allclose(stream.push(codes[:, :, :1]), whole[..., :1920 - HOP], atol=1e-5)  # after a flush, a new sound


def test_long_codes_are_decoded_in_carried_chunks(vocoder):
    codes = torch.randint(0, 64, (1, 8, 130), generator=torch.Generator().manual_seed(3))
    seen = []
    wave = vocoder.decode(codes, lambda done, total: seen.append((done, total)))
    with torch.inference_mode():
        assert (wave - vocoder.module(codes)).abs().max() < 1e-5
    assert seen == [(0, 130), (50, 130), (100, 130), (130, 130)]


def test_it_hears_nothing_later_than_it_says(vocoder):
    codes = torch.randint(0, 64, (1, 8, 9), generator=torch.Generator().manual_seed(4))
    other = codes.clone()
    other[..., 6:] = 5
    a, b = vocoder.decode(codes), vocoder.decode(other)
    settled = 6 * 1920 - vocoder.look_ahead
    assert torch.equal(a[..., :settled], b[..., :settled]) and not torch.allclose(a[..., settled:], b[..., settled:])


def test_windows_add_up_to_the_sound_they_are_of(small):
    """With the spectra of a sine in all windows what comes out is the sine: nothing is scaled, or cut at the joins."""
    net = Istft(small.config, IstftConfig(width=8, inner=8, frame_blocks=1, hop_blocks=1))
    wave = torch.sin(2 * torch.pi * 440 / 24_000 * torch.arange(-HOP, 20 * HOP + 3 * HOP)).double()
    spectra = torch.fft.rfft(wave.unfold(0, 4 * HOP, HOP) * torch.hann_window(4 * HOP), dim=-1)
    windows = net._windows(torch.cat((spectra.abs().clamp(min=1e-9).log(), spectra.angle()), -1)[None].float())
    summed = torch.zeros(wave.shape[0])
    for n, window in enumerate(windows[0].flatten(1)):
        summed[n * HOP:n * HOP + 4 * HOP] += window
    inner = slice(3 * HOP, 17 * HOP)
    assert (summed[inner] - wave[inner]).abs().max() < 1e-4


def test_the_file_says_what_it_is(file, small_file, vocoder, small, tmp_path, draw):
    assert load_vocoder("auto", file).name == "istft" and load_vocoder("auto", small_file).name == "mimi"
    assert (vocoder.codec, vocoder.frame_size, vocoder.codebooks, vocoder.look_ahead) == ("mimi-small", 1920, 8, HOP)
    assert "ISTFT vocoder for codes of 'mimi-small'" in info(file)
    codes = draw(small, 6)
    save_istft(tmp_path / "half.safetensors", vocoder.module, torch.bfloat16)
    half = load_vocoder("istft", tmp_path / "half.safetensors")
    assert (half.decode(codes) - vocoder.decode(codes)).norm() < 0.1 * vocoder.decode(codes).norm()
    assert half.decode(codes[:, :3]).shape == (1, 1, 6 * 1920)
    with pytest.raises(MisoError, match="can't encode"):
        vocoder.encode(torch.zeros(1, 1, 1920))


def test_it_comes_before_the_codec_whose_codes_it_takes(file, small_file, tmp_path):
    for source in (file, small_file):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    assert find_vocoder("mimi-small", tmp_path, tmp_path / "models").name == "vocoder.safetensors"
    assert find_codec("mimi-small", tmp_path, tmp_path / "models").name == "small.safetensors"
    (tmp_path / "vocoder.safetensors").unlink()
    assert find_vocoder("mimi-small", tmp_path, tmp_path / "models").name == "small.safetensors"


def test_other_files_are_refused(file, small_file, tmp_path):
    with pytest.raises(MisoError, match="holds no ISTFT vocoder.*'auto'"):
        load_istft(small_file)
    metadata, entries = read_header(file)
    with open_tensors(file) as opened:
        tensors = {n: opened.get_tensor(n).clone() for n in entries if n != "head.weight"}
    write_tensors(tmp_path / "less.safetensors", tensors, metadata)
    with pytest.raises(MisoError, match="lacks 1 tensors.*head.weight"):
        load_istft(tmp_path / "less.safetensors")
    write_tensors(tmp_path / "odd.safetensors", tensors, {**metadata, "config": '{"depth": 3}'})
    with pytest.raises(MisoError, match="sizes in odd.safetensors can't be read"):
        load_istft(tmp_path / "odd.safetensors")
    with pytest.raises(MisoError, match="codec 'other'"):
        decode_codes(load_vocoder("istft", file), Codes(torch.zeros(1, 8, 3, dtype=torch.int64), [3], "other", codebook_size=64))
