"""Training of coder, codec and vocoder on a few clips."""

from dataclasses import replace

import pytest
import torch
from training.helpers import CPU, assert_same_state, quiet_run, train_in_two_parts

from miso.errors import MisoError
from miso.training.codec import train_codec
from miso.training.coded import CodedSpeech, encode_speech
from miso.training.coder import train_coder
from miso.training.melcoder import MelCoder
from miso.training.presets import TINY_CODEC, settings
from miso.training.vocoder import train_vocoder
from miso.vocoders import load_vocoder
from miso.vocoders.mimi import load_mimi, random_mimi, save_mimi


@pytest.fixture(scope="module")
def coder(speech, tmp_path_factory):
    setting, folder = settings("coder", "tiny"), tmp_path_factory.mktemp("coder")
    run = quiet_run(folder, setting, steps=40)
    return train_coder(speech, run, setting, CPU), run


def test_coder_learns_and_resumes_to_the_bit(speech, coder, tmp_path):
    path, run = coder
    mels = [row["mel"] for row in run.record["history"] if "mel" in row]
    assert mels[-1] < 0.8 * mels[0]
    assert {"held_out_mel_plain", "held_out_rank"} <= run.record["figures"].keys()
    setting = settings("coder", "tiny")
    assert_same_state(
        run, train_in_two_parts(lambda run: train_coder(speech, run, setting, CPU), tmp_path, setting, 40)
    )
    saved = run.load()["coder.coder.quantizer.acoustic.tables"]
    assert torch.equal(MelCoder.load(path, CPU).quantizer.acoustic.tables, saved)


def test_coder_sees_nothing_later(speech, coder):
    coder = MelCoder.load(coder[0], CPU)
    wave = torch.from_numpy(speech.wave(speech.clips[0]))[None, None, : 6 * 1920]
    later = torch.cat((wave[..., : 4 * 1920], torch.randn(1, 1, 2 * 1920)), -1)
    a, b = coder.analyse(wave), coder.analyse(later)
    assert torch.equal(a[..., :4], b[..., :4]) and not torch.equal(a[..., 4:], b[..., 4:])
    assert torch.equal(coder.synthesise(a)[:, :4], coder.synthesise(b)[:, :4])
    assert coder.synthesise(a).shape == (1, 6, 640)
    louder = (coder.spectrum(10 * later) - coder.spectrum(later))[:, 34:]
    assert louder.mean() == pytest.approx(1, abs=0.01)  # log10 of magnitudes


@pytest.fixture(scope="module")
def codec(speech, coder, tmp_path_factory):
    """A function that trains a codec for the coder's codes, with its file and its run."""
    setting = settings("codec", "tiny")

    def train(run):
        return train_codec(speech, run, setting, CPU, coder=coder[0])

    run = quiet_run(tmp_path_factory.mktemp("codec"), setting, steps=24)
    return train, train(run), run


def test_codec_learns_the_coders_codes(coder, codec):
    _, path, run = codec
    history = run.record["history"]
    mels, latents = ([row[name] for row in history if name in row] for name in ("mel", "latent"))
    assert mels[-1] < 0.85 * mels[0] and latents[-1] < 0.9 * latents[0]
    assert {"adversarial", "features", "critics"} <= history[-2].keys() and "adversarial" not in history[0]
    mimi, mel_coder = load_mimi(path), MelCoder.load(coder[0], CPU)
    assert mimi.codec == "tiny" and mimi.config == TINY_CODEC
    assert torch.equal(mimi.quantizer.acoustic.tables, mel_coder.quantizer.acoustic.tables)


@pytest.mark.slow
def test_codec_resumes_to_the_bit(codec, tmp_path):
    train, _, run = codec
    assert_same_state(run, train_in_two_parts(train, tmp_path, settings("codec", "tiny"), 24))


def test_a_codec_by_itself_keeps_its_codes(speech, coder, tmp_path):
    setting = settings("codec", "tiny")
    first = train_codec(speech, quiet_run(tmp_path / "first", setting, steps=3), setting, CPU, coder=coder[0])
    second = train_codec(speech, quiet_run(tmp_path / "second", setting, steps=4), setting, CPU, start=first)
    a, b = load_mimi(first), load_mimi(second)
    wave = torch.from_numpy(speech.wave(speech.clips[0]))[None, None]
    assert torch.equal(a.encode(wave), b.encode(wave))
    assert not torch.equal(a.decoder.model[0].conv.weight, b.decoder.model[0].conv.weight)
    with pytest.raises(MisoError, match="no coder"):
        train_codec(speech, quiet_run(tmp_path / "third", setting, steps=1), setting, CPU)
    with pytest.raises(MisoError, match="not a mel coder"):
        train_codec(speech, quiet_run(tmp_path / "fourth", setting, steps=1), setting, CPU, coder=first)
    save_mimi(tmp_path / "other.safetensors", random_mimi(replace(TINY_CODEC, filters=2), 0, "tiny"))
    with pytest.raises(MisoError, match="other sizes"):
        train_codec(
            speech,
            quiet_run(tmp_path / "fifth", setting, steps=1),
            setting,
            CPU,
            coder=coder[0],
            start=tmp_path / "other.safetensors",
        )


@pytest.fixture(scope="module")
def vocoder(speech, tmp_path_factory):
    """A function that trains a vocoder for random codes, with its codec's file, its file and its run."""
    folder, setting = tmp_path_factory.mktemp("vocoder"), settings("vocoder", "tiny")
    save_mimi(codec := folder / "codec.safetensors", random_mimi(TINY_CODEC, 1, "tiny"))
    coded = encode_speech(speech, codec, folder / "codes.safetensors", CPU)

    def train(run, setting=setting, **options):
        return train_vocoder(speech, coded, codec, run, setting, CPU, **options)

    run = quiet_run(folder / "run", setting, steps=40)
    return train, codec, train(run), run


def test_vocoder_learns(vocoder, tmp_path):
    train, codec, path, run = vocoder
    history = run.record["history"]
    mels = [row["mel"] for row in history if "mel" in row]
    assert mels[-1] < 0.85 * mels[0] and "critics" in history[-2] and "critics" not in history[0]
    trained, tables = load_vocoder("auto", path), load_mimi(codec).quantizer.acoustic.tables
    assert trained.codec == "tiny"
    assert torch.equal(trained.module.quantizer.acoustic.tables, tables)  # codes keep their meaning
    further = quiet_run(tmp_path / "further", settings("vocoder", "tiny"), steps=1)
    train(further, start=path)  # continues from there
    assert further.record["figures"]["held_out_mel"] < 1.05 * run.record["figures"]["held_out_mel"]


@pytest.mark.slow
def test_vocoder_resumes_to_the_bit(vocoder, tmp_path):
    train, _, _, run = vocoder
    assert_same_state(run, train_in_two_parts(train, tmp_path, settings("vocoder", "tiny"), 40))


def test_vocoders_of_other_sizes_and_codecs_are_refused(speech, vocoder, tmp_path):
    train, codec, path, _ = vocoder
    setting = settings("vocoder", "tiny")
    wide = replace(setting, sizes=replace(setting.sizes, width=24))
    with pytest.raises(MisoError, match="other sizes"):
        train(quiet_run(tmp_path / "wide", wide, steps=1), wide, start=path)
    coded = CodedSpeech(codec.with_name("codes.safetensors"))
    save_mimi(other := tmp_path / "other.safetensors", random_mimi(TINY_CODEC, 1, "other"))
    with pytest.raises(MisoError, match="codes are of the codec 'tiny'.*'other'"):
        train_vocoder(speech, coded, other, quiet_run(tmp_path / "other", setting, steps=1), setting, CPU)


def test_other_settings_dont_resume(speech, tmp_path):
    setting = settings("coder", "tiny")
    train_coder(speech, quiet_run(tmp_path, setting, steps=1), setting, CPU)
    with pytest.raises(MisoError, match="other settings .rate."):
        quiet_run(tmp_path, replace(setting, rate=1e-5), steps=1)
    with pytest.raises(MisoError, match="no length"):
        quiet_run(tmp_path, setting)
