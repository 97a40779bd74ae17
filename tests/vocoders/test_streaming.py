"""Streams against whole decodes: a short version of ``measure_vocoders.py``."""

import random

import pytest
import torch
from measure_vocoders import Streamed, chunk_sizes, compare_stream, encode_again, join_flux

from miso.checkpoints.find import BUNDLED
from miso.text.voice import Voice
from miso.tools.export import export_codec
from miso.vocoders import load_vocoder
from miso.vocoders.backends.mimi import MimiStream
from miso.vocoders.lfm2 import Detokenizer, DetokenizerConfig, save_detokenizer
from miso.vocoders.source_filter import SourceFilter, SourceFilterConfig, save_source_filter

TOLERANCE = 1e-4
LFM2 = DetokenizerConfig(dim=64, inner=64, heads=2, kv_heads=1)


@pytest.fixture(scope="module")
def files(small, small_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    torch.manual_seed(0)
    net = SourceFilter(small.config, SourceFilterConfig(16, 32, 1, 1), small.codec)
    save_source_filter(folder / "source-filter.safetensors", net)
    save_detokenizer(folder / "lfm2.safetensors", Detokenizer(LFM2))
    files = {name: folder / f"{name}.safetensors" for name in ("source-filter", "lfm2")}
    return {"mimi": small_file, **files, "folder": folder}


@pytest.mark.parametrize("name", ["mimi", "source-filter", "lfm2", "onnx"])
def test_streams_have_no_clicks_and_no_lost_samples(name, files, small_file):
    if name == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
        export_codec(small_file, files["folder"] / "small.onnx")
        files = {"onnx": files["folder"] / "small.onnx"}
    vocoder, rng, draw = load_vocoder(name, files[name]), random.Random(1), torch.Generator().manual_seed(1)
    for _ in range(5):
        frames = rng.randint(2, 60)
        codes = torch.randint(0, 64, (3, 8, frames), generator=draw)
        result = compare_stream(vocoder, codes, chunk_sizes(frames, rng))
        assert result.difference <= TOLERANCE and result.flux <= 1.1 and not result.wrong


def test_nanos_streams_have_no_clicks_and_no_lost_samples():
    rng, draw = random.Random(2), torch.Generator().manual_seed(2)
    for kind in ("vocoder", "codec"):
        vocoder = load_vocoder("auto", BUNDLED / f"nano-{kind}.safetensors")
        shape = (2, vocoder.codebooks, 40)
        codes = torch.randint(0, vocoder.codebook_size, shape, generator=draw)
        result = compare_stream(vocoder, codes, chunk_sizes(40, rng))
        assert result.difference <= TOLERANCE and result.flux <= 1.1 and not result.wrong


def test_the_measure_hears_clicks_and_counts_samples(small_file):
    """Frames decoded one by one without their state: a click at every join."""
    vocoder = load_vocoder("mimi", small_file)
    codes = torch.randint(0, 64, (1, 8, 20), generator=torch.Generator().manual_seed(3))
    whole, joins = vocoder.decode(codes)[0, 0], torch.arange(1, 20) * vocoder.frame_size
    forgetful = torch.cat([vocoder.decode(part)[0, 0] for part in codes.split(1, -1)])
    assert join_flux(forgetful, whole, vocoder.sample_rate, joins) > 1.2  # the limit is 1.1
    assert join_flux(whole, whole, vocoder.sample_rate, joins) == 1

    vocoder.stream = lambda batch: LosesTheEnd(MimiStream(vocoder, batch))
    assert compare_stream(vocoder, codes, [10, 10]) == Streamed(1, float("inf"), float("inf"), 1)


class LosesTheEnd:
    """As published players of these codes lose their last frame."""

    def __init__(self, stream):
        self.stream, self.held = stream, None

    def push(self, codes):
        last, self.held = self.held, codes
        return self.flush() if last is None else self.stream.push(last)

    def flush(self):
        return torch.zeros(1, 1, 0)


def test_encoding_again_and_again_settles():
    """Nano's codec, which is trained: the level stays, and more codes stay from round to round."""
    vocoder = load_vocoder("auto", BUNDLED / "nano-codec.safetensors")
    rounds = list(encode_again(vocoder, Voice.load(BUNDLED / "voices" / "heart.safetensors").codes.tensor))
    assert rounds[-1][1] > rounds[0][1] and abs(rounds[-1][2] - rounds[0][2]) < 3
