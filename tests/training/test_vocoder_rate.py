"""A vocoder of 48 kHz for codes of a codec of 24 kHz: from sound files to sound, by commands alone."""

import pytest
import torch
from training.helpers import sound, wav_bytes

from miso.cli import main
from miso.errors import MisoError
from miso.training.data import Speech
from miso.vocoders import load_vocoder
from miso.vocoders.mimi import MimiConfig, random_mimi, save_mimi
from miso.vocoders.source_filter import SourceFilter, SourceFilterConfig


def run(*arguments) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Six lines of speech at 48 kHz, with their transcripts."""
    folder = tmp_path_factory.mktemp("lines")
    for i, text in enumerate(("bad cab", "dab fed", "gab had", "jab keg", "lad mad", "cab bad")):
        (folder / f"{i:05d}.wav").write_bytes(wav_bytes(sound(text), 48_000))
        (folder / f"{i:05d}.txt").write_text(text)
    return folder


SMALL = MimiConfig(filters=8, dim=64, heads=1, encoder_layers=1, decoder_layers=1, ff=64, codebook_dim=16)


@pytest.mark.parametrize(
    "sizes", [SMALL, pytest.param(MimiConfig(), marks=pytest.mark.slow)], ids=["small", "published"]
)
def test_a_vocoder_of_48_khz_for_mimi(lines, tmp_path, sizes):
    """The codec has random weights, and hears the speech at 24 kHz."""
    speech, codec, codes = tmp_path / "speech", tmp_path / "mimi.safetensors", tmp_path / "codes.safetensors"
    save_mimi(codec, random_mimi(sizes, codec="mimi-random"))
    prepare = ["train", "prepare", lines, "-o", speech, "--workers", 1, "--min-seconds", 0.2]
    run(*prepare, "--rate", 48_000)
    run("train", "codes", speech, "--codec", codec, "-o", codes)
    out = tmp_path / "out"
    for steps in (6, 8):  # the second call resumes, with the discriminators
        files = [speech, "--codes", codes, "--codec", codec]
        run("train", "vocoder", *files, "-o", out, "--preset", "tiny", "--steps", steps)
    vocoder = load_vocoder("auto", out / "vocoder.safetensors")
    assert (vocoder.name, vocoder.codec, vocoder.sample_rate) == ("source-filter", "mimi-random", 48_000)
    assert (vocoder.frame_rate, vocoder.frame_size, vocoder.codebooks) == (12.5, 3840, 32)
    draw = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 2048, (1, 32, 9), generator=draw)
    whole, stream = vocoder.decode(frames), vocoder.stream()
    assert whole.shape == (1, 1, 9 * 3840) and whole.isfinite().all() and whole.any()
    parts = [stream.push(part) for part in frames.split((1, 5, 3), -1)]
    assert torch.equal(torch.cat([*parts, stream.flush()], -1), whole)
    with pytest.raises(MisoError, match="prepared at 48000 Hz; this needs 24000"):
        run(*prepare)  # more speech, at the other rate
    with pytest.raises(MisoError, match="prepared at 48000 Hz; this needs 24000"):
        run("train", "listener", speech, "-o", tmp_path / "listener", "--preset", "tiny", "--steps", 1)


def test_speech_keeps_its_length_in_seconds(lines, tmp_path):
    for rate in (24_000, 48_000):
        folder = tmp_path / str(rate)
        run("train", "prepare", lines, "-o", folder, "--workers", 1, "--min-seconds", 0.2, "--rate", rate)
    low, high = (Speech(tmp_path / str(rate)) for rate in (24_000, 48_000))
    assert (low.rate, high.rate) == (24_000, 48_000)
    for a, b in zip(low.clips, high.clips, strict=True):
        assert abs(2 * a.samples - b.samples) <= 64


def test_a_rate_that_does_not_divide_is_refused():
    config = MimiConfig()
    with pytest.raises(MisoError, match="22051 Hz doesn't divide into frames.*24000 or 48000"):
        SourceFilter(config, SourceFilterConfig(16, 16, 1, 1, sample_rate=22_051))
