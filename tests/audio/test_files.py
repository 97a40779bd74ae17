"""Sound files, and resampling with either library."""

import math
import struct
import sys

import pytest
import torch

from miso.audio.files import read_audio, write_audio
from miso.audio.resampling import resample
from miso.errors import MisoError
from miso.training.prepare import decode


@pytest.mark.parametrize("library", ["torchaudio", "scipy"])
@pytest.mark.parametrize(
    "source, target",
    [
        (44100, 24000),
        (24000, 16000),
        pytest.param(16000, 24000, marks=pytest.mark.slow),
        pytest.param(48000, 24000, marks=pytest.mark.slow),
    ],
)
def test_resampling_keeps_a_tone(library, source, target, monkeypatch):
    if library == "scipy":
        monkeypatch.setitem(sys.modules, "torchaudio.functional", None)
    else:
        pytest.importorskip("torchaudio")
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(source) / source)[None, None]
    out = resample(tone, source, target)
    assert out.shape == (1, 1, target) and out.dtype == torch.float32
    want = torch.sin(2 * math.pi * 1000 * torch.arange(target) / target)
    middle = slice(target // 10, -target // 10)
    assert (out[0, 0, middle] - want[middle]).abs().max() < 5e-3


def test_without_either_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio.functional", None)
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(MisoError, match="pip install scipy"):
        resample(torch.zeros(1, 1, 100), 16000, 24000)


def test_missing_av(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MisoError, match="pip install av"):
        write_audio(tmp_path / "x.flac", torch.zeros(10), 24000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not sound" * 100])
def test_files_that_are_not_sound(tmp_path, content):
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(MisoError, match="can't be read as sound"):
        read_audio(tmp_path / "x.wav")


def test_loud_sound_is_clipped_not_wrapped(tmp_path):
    write_audio(tmp_path / "x.wav", torch.tensor([2.0, -2.0] * 100), 24000)
    wave, _ = read_audio(tmp_path / "x.wav")
    assert wave[0] > 0.99 and wave[1] < -0.99


def test_what_is_no_number_becomes_silence(tmp_path):
    wave = torch.tensor([0.5, float("nan"), float("inf"), -float("inf"), 0.5])
    write_audio(tmp_path / "odd.wav", wave, 24_000)
    assert torch.allclose(read_audio(tmp_path / "odd.wav")[0], torch.tensor([0.5, 0, 1, -1, 0.5]), atol=1e-4)


def test_stereo_is_averaged(tmp_path):
    """Both channels the same give what mono gives: the graph averages too (case 6 of the shared inputs)."""
    import av
    import numpy as np

    samples = (0.4 * np.sin(np.arange(24_000) / 20)).astype(np.float32)
    peaks = {}
    for layout, channels in (("mono", 1), ("stereo", 2)):
        path = tmp_path / f"{layout}.wav"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("pcm_s16le", rate=24_000, layout=layout)
            data = (samples * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.repeat(data, channels)[None], format="s16", layout=layout)
            frame.sample_rate = 24_000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                file.mux(packet)
        wave, rate = read_audio(path)
        assert rate == 24_000 and len(wave) == 24_000
        peaks[layout] = wave
    assert torch.allclose(peaks["mono"], peaks["stereo"], atol=1e-6)


def test_tags_may_have_any_encoding(tmp_path):
    """A title in Latin-1, as old recorders write it, isn't UTF-8."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    described = struct.pack("<HHIIHH", 1, 1, 24_000, 48_000, 2, 16)
    title = b"INFO" + chunk(b"INAM", "été ".encode("latin-1"))
    samples = bytes(4800)
    content = b"WAVE" + chunk(b"fmt ", described) + chunk(b"LIST", title) + chunk(b"data", samples)
    path = tmp_path / "titled.wav"
    path.write_bytes(chunk(b"RIFF", content))
    assert len(read_audio(path)[0]) == 2400
    assert len(decode(path.read_bytes())) == 2400  # for training


@pytest.mark.parametrize("rate", [22_051, 8_363, 44_101, 95_999])
def test_odd_rates_cost_no_more_than_usual_ones(rate):
    """3 s took 52 s and 9 GB once (case 5). A tone keeps its pitch and level."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    time = torch.arange(3 * rate) / rate
    wave = resample((2 * torch.pi * 1000 * time).sin(), rate, 24_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KB
    want = (2 * torch.pi * 1000 * torch.arange(len(wave)) / 24_000).sin()
    assert abs(len(wave) - 72_000) <= 1 and (wave - want)[500:-500].abs().max() < 0.02
