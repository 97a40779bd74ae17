"""The source-filter vocoder: streams are exact at any chunk size, and files identify themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miso.checkpoints.find import find_codec, find_vocoder
from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.files import open_tensors, read_header, write_tensors
from miso.tools.info import info
from miso.vocoders import decode_codes, load_vocoder
from miso.vocoders.source_filter import (
    SourceFilter,
    SourceFilterConfig,
    _minimum_phase,
    load_source_filter,
    save_source_filter,
)

HOP = 1920 // 8
SIZES = SourceFilterConfig(width=24, inner=32, frame_blocks=1, hop_blocks=2)


@pytest.fixture(scope="module")
def file(small, tmp_path_factory):
    torch.manual_seed(0)
    net = SourceFilter(small.config, SIZES, small.codec)
    net.quantizer.load_state_dict(
        {n: t for n, t in small.quantizer.state_dict().items() if "input_proj" not in n}
    )
    path = tmp_path_factory.mktemp("source-filter") / "vocoder.safetensors"
    save_source_filter(path, net)
    return path


@pytest.fixture(scope="module")
def vocoder(file):
    return load_vocoder("source-filter", file)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_a_stream_gives_what_decoding_gives(vocoder, small, cuts):
    frames = sum(cuts)
    codes = torch.randint(0, 64, (2, 8, frames), generator=torch.Generator().manual_seed(frames))
    whole, stream, parts, sent = vocoder.decode(codes), vocoder.stream(2), [], 0
    for part in codes.split(cuts, 2):
        parts.append(stream.push(part))
        sent += part.shape[2]
        assert sum(p.shape[2] for p in parts) == sent * 1920 - vocoder.look_ahead
    wave = torch.cat((*parts, stream.flush()), 2)
    assert vocoder.exact_streaming and wave.shape == whole.shape == (2, 1, frames * 1920)
    assert torch.equal(wave, whole) and stream.flush().shape == (2, 1, 0)
    # after a flush, a new sound begins
    assert torch.equal(stream.push(codes[:, :, :1]), whole[..., : 1920 - vocoder.look_ahead])


def test_the_trained_module_gives_what_decoding_gives(vocoder):
    codes = torch.randint(0, 64, (1, 8, 30), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wave = vocoder.module(codes)[0]
    assert (wave - vocoder.decode(codes)).norm() < 1e-3 * wave.norm()


def test_progress_counts_frames_and_may_interrupt(vocoder):
    codes, seen = torch.zeros(1, 8, 130, dtype=torch.int64), []
    vocoder.decode(codes, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 130), (50, 130), (100, 130), (130, 130)]

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vocoder.decode(codes, interrupt)


def test_look_ahead_is_as_declared(vocoder):
    codes = torch.randint(0, 64, (1, 8, 9), generator=torch.Generator().manual_seed(4))
    other = codes.clone()
    other[..., 6:] = 5
    a, b = vocoder.decode(codes), vocoder.decode(other)
    settled = 6 * 1920 - vocoder.look_ahead
    assert torch.equal(a[..., :settled], b[..., :settled])
    assert not torch.allclose(a[..., settled:], b[..., settled:])


def test_an_open_filter_passes_its_source(small):
    """Windows neither scale, delay nor cut the source, and pulses have the given pitch."""
    net = SourceFilter(small.config, SIZES)
    for layer in (net.filters, net.pitch):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    bins = len(net.filters.bias) // 3
    torch.nn.init.constant_(net.filters.bias[bins : 2 * bins], -20)  # no noise
    with torch.inference_mode():
        wave, octaves = net(torch.zeros(1, 8, 5, dtype=torch.int64), torch.full((1, 40), 240.0))
        source, _ = net._source(torch.full((1, 40), 240.0), net.start(1))
    inner = slice(3 * HOP, -3 * HOP)  # where all four windows are
    assert (wave[0, 0, inner] - source[0, 0, inner]).abs().max() < 1e-4 and not octaves.any()
    peaks = source[0, 0].unfold(0, 3, 1)
    peaks = ((peaks[:, 1] > peaks[:, 0]) & (peaks[:, 1] > peaks[:, 2])).nonzero()[:, 0]
    assert (peaks.diff() - 100).abs().max() <= 1 and len(peaks) >= 95  # a pulse each 100 samples
    assert 0.9 < source[0].square().mean(1).sqrt().min() < source[0].square().mean(1).sqrt().max() < 1.1


def test_filters_are_causal():
    levels = torch.randn(3, 121, generator=torch.Generator().manual_seed(0)).cumsum(1) * 0.1
    spectrum = _minimum_phase(levels)
    assert torch.allclose(spectrum.abs(), levels.exp(), rtol=1e-4)
    energy = torch.fft.irfft(spectrum).square()
    plain = torch.fft.irfft(levels.exp().to(torch.complex64)).square()
    assert (energy[:, 120:].sum(1) < 0.1 * plain[:, 120:].sum(1)).all()


def test_a_file_identifies_itself(file, small_file, vocoder, small, tmp_path, draw):
    assert (
        load_vocoder("auto", file).name == "source-filter" and load_vocoder("auto", small_file).name == "mimi"
    )
    assert (vocoder.codec, vocoder.frame_size, vocoder.codebooks, vocoder.look_ahead) == (
        "mimi-small",
        1920,
        8,
        3 * HOP,
    )
    assert "source-filter vocoder for codes of 'mimi-small'" in info(file)
    codes = draw(small, 6)
    save_source_filter(tmp_path / "half.safetensors", vocoder.module, torch.bfloat16)
    half = load_vocoder("source-filter", tmp_path / "half.safetensors")
    # rounded pitch: not sample for sample
    assert half.decode(codes).norm() / vocoder.decode(codes).norm() == pytest.approx(1, abs=0.02)
    assert half.decode(codes[:, :3]).shape == (1, 1, 6 * 1920)
    with pytest.raises(MisoError, match="can't encode"):
        vocoder.encode(torch.zeros(1, 1, 1920))


def test_it_is_found_before_the_codec_of_its_codes(file, small_file, tmp_path):
    for source in (file, small_file):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    assert find_vocoder("mimi-small", tmp_path, tmp_path / "models").name == "vocoder.safetensors"
    assert find_codec("mimi-small", tmp_path, tmp_path / "models").name == "small.safetensors"
    (tmp_path / "vocoder.safetensors").unlink()
    assert find_vocoder("mimi-small", tmp_path, tmp_path / "models").name == "small.safetensors"


def test_other_files_are_refused(file, small_file, tmp_path):
    with pytest.raises(MisoError, match="contains no source-filter vocoder.*'auto'"):
        load_source_filter(small_file)
    metadata, entries = read_header(file)
    with open_tensors(file) as opened:
        tensors = {n: opened.get_tensor(n).clone() for n in entries if n != "filters.weight"}
    write_tensors(tmp_path / "less.safetensors", tensors, metadata)
    with pytest.raises(MisoError, match="lacks 1 tensors.*filters.weight"):
        load_source_filter(tmp_path / "less.safetensors")
    write_tensors(tmp_path / "odd.safetensors", tensors, {**metadata, "config": '{"depth": 3}'})
    with pytest.raises(MisoError, match="sizes in odd.safetensors can't be read"):
        load_source_filter(tmp_path / "odd.safetensors")
    with pytest.raises(MisoError, match="codec 'other'"):
        decode_codes(
            load_vocoder("source-filter", file),
            Codes(torch.zeros(1, 8, 3, dtype=torch.int64), [3], "other", codebook_size=64),
        )
