"""The listener, and training with its loss: a vocoder and a codec's encoder."""

from dataclasses import replace

import pytest
import torch
from training.helpers import CPU, assert_same_state, quiet_run, train_in_two_parts

from miso.errors import MisoError
from miso.training.coded import encode_speech
from miso.training.encoder import train_encoder
from miso.training.listener import Listener
from miso.training.listening import train_listener
from miso.training.presets import TINY_CODEC, settings
from miso.training.vocoder import train_vocoder
from miso.vocoders.mimi import load_mimi, random_mimi, save_mimi
from miso.vocoders.source_filter import (
    SourceFilter,
    SourceFilterConfig,
    load_source_filter,
    save_source_filter,
)

TINY = settings("listener", "tiny")


@pytest.fixture(scope="module")
def listener(speech, tmp_path_factory):
    run = quiet_run(tmp_path_factory.mktemp("listener"), TINY, steps=40)
    return train_listener(speech, run, TINY, CPU), run


@pytest.fixture(scope="module")
def codec_and_vocoder(speech, tmp_path_factory):
    """A codec, codes and a vocoder of them."""
    folder = tmp_path_factory.mktemp("vocoder")
    save_mimi(codec := folder / "codec.safetensors", random_mimi(TINY_CODEC, 1, "tiny"))
    coded = encode_speech(speech, codec, folder / "codes.safetensors", CPU)
    setting = settings("vocoder", "tiny")
    run = quiet_run(folder / "vocoder", setting, steps=10)
    return codec, coded, train_vocoder(speech, coded, codec, run, setting, CPU)


def test_listener_learns_and_resumes_to_the_bit(speech, listener, tmp_path):
    path, run = listener
    losses = [row["ctc"] for row in run.record["history"] if "ctc" in row]
    assert losses[-1] < 0.7 * losses[0]
    assert_same_state(
        run, train_in_two_parts(lambda run: train_listener(speech, run, TINY, CPU), tmp_path, TINY, 40)
    )
    wave = torch.from_numpy(speech.wave(speech.clips[0]))[None, None]
    read = Listener.load(path, CPU)(wave)
    assert read.shape[0] == 1
    assert abs(read.shape[1] - wave.shape[-1] / 480) <= 1
    assert torch.allclose(read.exp().sum(-1), torch.ones(read.shape[:2]))


def test_sounds_are_as_far_apart_as_they_differ(speech, listener):
    net = Listener.load(listener[0], CPU)
    a, b = (torch.from_numpy(speech.wave(clip))[None, None, :19200] for clip in speech.clips[:2])
    near, far = net.distance(1.05 * a, a), net.distance(b, a)
    assert net.distance(a, a) == 0 and 0 < near < far
    silent = torch.zeros_like(a).requires_grad_()
    net.distance(silent, a).backward()
    assert silent.grad.isfinite().all()


@pytest.fixture(scope="module")
def encoder(speech, listener, codec_and_vocoder, tmp_path_factory):
    """A function that trains the codec's encoder, with the codec's new file and the run."""
    codec, _, vocoder = codec_and_vocoder
    setting = settings("encoder", "tiny")

    def train(run):
        return train_encoder(speech, codec, vocoder, listener[0], run, setting, CPU)

    run = quiet_run(tmp_path_factory.mktemp("encoder"), setting, steps=30)
    return train, train(run), run


def test_encoder_learns_to_be_understood(speech, codec_and_vocoder, encoder):
    _, path, run = encoder
    heard = [row["heard"] for row in run.record["history"] if "heard" in row]
    assert heard[-1] < heard[0]
    before, after = load_mimi(codec_and_vocoder[0]), load_mimi(path)
    assert (before.config.paths, after.config.paths) == (1, 8)
    wave = torch.from_numpy(speech.wave(speech.clips[0]))[None, None]
    codes = before.encode(wave)
    assert not torch.equal(after.encode(wave), codes)
    assert torch.equal(after.decode(codes), before.decode(codes))  # codes keep their meaning


@pytest.mark.slow
def test_encoder_resumes_to_the_bit(encoder, tmp_path):
    train, _, run = encoder
    assert_same_state(run, train_in_two_parts(train, tmp_path, settings("encoder", "tiny"), 30))


def test_encoder_codebooks_and_vocoder_make_a_new_codec(speech, listener, codec_and_vocoder, tmp_path):
    codec, _, vocoder = codec_and_vocoder
    setting = replace(settings("encoder", "tiny"), codec="newer", augmented=True)
    run = quiet_run(tmp_path, setting, steps=12)
    path = train_encoder(speech, codec, vocoder, listener[0], run, setting, CPU)
    before, after = load_mimi(codec), load_mimi(path)
    net = load_source_filter(path.with_name("vocoder.safetensors"))
    assert after.codec == net.codec_id == "newer"
    for part in ("semantic", "acoustic"):
        tables = [getattr(module.quantizer, part).tables for module in (before, after, net)]
        assert not torch.equal(tables[0], tables[1]) and torch.equal(tables[1], tables[2])
    wave = torch.from_numpy(speech.wave(speech.clips[0]))[None, None]
    assert net(after.encode(wave))[0].isfinite().all()
    assert_same_state(
        run,
        train_in_two_parts(
            lambda run: train_encoder(speech, codec, vocoder, listener[0], run, setting, CPU),
            tmp_path / "parts",
            setting,
            12,
        ),
    )


def test_vocoder_may_have_a_listener(speech, listener, codec_and_vocoder, tmp_path):
    codec, coded, vocoder = codec_and_vocoder
    setting = settings("vocoder", "tiny")
    run = quiet_run(tmp_path, setting, steps=2)
    train_vocoder(speech, coded, codec, run, setting, CPU, start=vocoder, listener=listener[0])
    assert 0 < run.record["figures"]["held_out_heard"] < 3


def test_files_of_another_kind_are_refused(speech, listener, codec_and_vocoder, tmp_path):
    codec, _, vocoder = codec_and_vocoder
    setting = settings("encoder", "tiny")
    with pytest.raises(MisoError, match="not a listener"):
        train_encoder(
            speech, codec, vocoder, codec, quiet_run(tmp_path / "a", setting, steps=1), setting, CPU
        )
    save_mimi(other := tmp_path / "other.safetensors", random_mimi(replace(TINY_CODEC, filters=2), 0, "tiny"))
    with pytest.raises(MisoError, match="codes of another codec"):
        train_encoder(
            speech, other, vocoder, listener[0], quiet_run(tmp_path / "b", setting, steps=1), setting, CPU
        )
    fast = SourceFilter(load_mimi(codec).config, SourceFilterConfig(16, 16, 1, 1, sample_rate=48_000), "tiny")
    save_source_filter(tmp_path / "fast.safetensors", fast)
    with pytest.raises(MisoError, match="fast.safetensors makes sound of 48000 Hz, the codec 24000") as error:
        run = quiet_run(tmp_path / "c", setting, steps=1)
        train_encoder(speech, codec, tmp_path / "fast.safetensors", listener[0], run, setting, CPU)
    assert error.value.input == "vocoder"
