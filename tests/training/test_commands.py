"""From sound files to a model that speaks, by commands alone."""

import json

import pytest
import torch

from miso import Checkpoint, Segment
from miso.cli import main
from miso.errors import MisoError
from miso.speech import Miso
from miso.training.coded import CodedSpeech, encode_speech
from miso.training.presets import TINY_CODEC, settings
from miso.vocoders import load_vocoder
from miso.vocoders.mimi import load_mimi, random_mimi, save_mimi


def run(*arguments) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def short_runs() -> list:
    """Options of train nano that end each step at once."""
    parts = "coder", "codec", "vocoder", "lm", "listener", "encoder"
    return ["--preset", "tiny", *(x for part in parts for x in (f"--{part}-minutes", 0.002))]


def speak(model) -> str:
    """The codec of what a checkpoint says."""
    loop = Miso(model, device="cpu").sample([Segment("bad cab", 1)], seeds=[0], max_seconds=1)
    list(loop)
    return loop.codes.codec


def test_all_steps(source, tmp_path, capsys):
    speech, lm, tuned = tmp_path / "speech", tmp_path / "lm", tmp_path / "tuned"
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"seconds": 2, "sizes": {"filters": 2}}))
    tiny = ["--preset", "tiny", "--steps"]
    run("train", "prepare", source, "-o", speech, "--workers", 1, "--min-seconds", 0.3)
    run("train", "coder", speech, "-o", tmp_path / "coder", "--config", config, *tiny, 6)
    coder = tmp_path / "coder" / "coder.safetensors"
    run("train", "codec", speech, "--coder", coder, "-o", tmp_path / "codec", *tiny, 6)
    codec, codes = tmp_path / "codec" / "codec.safetensors", tmp_path / "codes.safetensors"
    assert load_mimi(codec).config.filters == 2
    run("train", "codes", speech, "--codec", codec, "-o", codes)
    for steps in (4, 8):  # the second call resumes
        run("train", "lm", codes, "-o", lm, *tiny, steps)
    record = json.loads((lm / "record.json").read_text())
    assert record["steps"] == 8 and len(record["calls"]) == 2
    assert record["data"]["utterances"] == 116 and record["settings"]["dropout"] == 0
    assert record["figures"]["held_out_loss"] > 0
    model = lm / "model.safetensors"
    new_voice = [source / "high.tar", "--checkpoint", model, "--codec", codec, "--speaker", 5]
    run("train", "finetune", *new_voice, "-o", tuned, "--rank", 2, *tiny, 3)
    assert Checkpoint(tuned / "model.safetensors").metadata["base"] == Checkpoint(model).fingerprint
    assert json.loads((tuned / "record.json").read_text())["data"]["speakers"] == {"high": 5}
    capsys.readouterr()
    run("evaluate", "--checkpoint", tuned, "--codec", codec, "--sentences", 1, "--judges", "--threads", 1)
    assert "| clips | 1 |" in capsys.readouterr().out
    assert speak(model) == "tiny"


def test_nano_runs_all_steps_once(speech, tmp_path):
    command = ["train", "nano", speech.folder, "-o", tmp_path, *short_runs()]

    def progress() -> tuple[int, int]:
        record = json.loads((tmp_path / "codec" / "record.json").read_text())
        return record["steps"], (tmp_path / "codes.safetensors").stat().st_mtime_ns

    run(*command)
    before = progress()
    checkpoint = Checkpoint(tmp_path / "nano.safetensors")
    assert checkpoint.weights == "int8" and checkpoint.config.codec == "tiny"
    codec = load_mimi(tmp_path / "nano-codec.safetensors")
    assert codec.codec == "tiny"
    full = load_mimi(tmp_path / "encoder" / "codec.safetensors").state_dict()
    assert all(t.equal(full[name].bfloat16().float()) for name, t in codec.state_dict().items())
    assert load_vocoder("auto", tmp_path / "nano-vocoder.safetensors").codec == "tiny"
    run(*command)  # nothing is left to do
    assert progress() == before
    assert speak(tmp_path / "nano.safetensors") == "tiny"


def test_a_new_edition_starts_from_the_last(speech, tmp_path):
    """Its codec is a new one, and the vocoder and the model beside it are of that codec."""
    first, second = tmp_path / "first", tmp_path / "second"
    run("train", "nano", speech.folder, "-o", first, *short_runs())
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"encoder": {"dropped": 0.5}, "lm": {"rate": 1e-4}}))
    run("train", "nano", speech.folder, "-o", second, "--start", first, "--config", config, *short_runs())
    changed = [
        json.loads((second / step / "record.json").read_text())["settings"] for step in ("encoder", "lm")
    ]
    assert (changed[0]["dropped"], changed[0]["codec"], changed[1]["rate"]) == (0.5, "tiny-2", 1e-4)
    config.write_text(json.dumps({"model": {}}))
    with pytest.raises(MisoError, match="no steps model"):
        run("train", "nano", speech.folder, "-o", tmp_path / "third", "--config", config, *short_runs())
    assert Checkpoint(second / "nano.safetensors").config.codec == "tiny-2"
    assert load_vocoder("auto", second / "nano-vocoder.safetensors").codec == "tiny-2"
    codecs = [load_mimi(folder / "nano-codec.safetensors") for folder in (first, second)]
    assert [codec.codec for codec in codecs] == ["tiny", "tiny-2"]
    assert codecs[0].config == codecs[1].config and not (second / "coder").exists()
    assert speak(second / "nano.safetensors") == "tiny-2"


def test_a_model_starts_from_one_of_another_codec(speech, tmp_path):
    for codec in ("one", "two"):
        save_mimi(tmp_path / codec, random_mimi(TINY_CODEC, len(codec), codec))
        encode_speech(speech, tmp_path / codec, tmp_path / f"{codec}.safetensors", torch.device("cpu"))
    run("train", "lm", tmp_path / "one.safetensors", "-o", tmp_path / "a", "--preset", "tiny", "--steps", 3)
    start = ["--start", tmp_path / "a" / "model.safetensors", "--preset", "tiny", "--steps"]
    run("train", "lm", tmp_path / "two.safetensors", "-o", tmp_path / "b", *start, 1)
    before, after = (Checkpoint(tmp_path / name / "model.safetensors") for name in "ab")
    assert (before.config.codec, after.config.codec) == ("one", "two")
    old, new = (c.load_backbone("cpu").codebook0_head.weight for c in (before, after))
    assert 0 < (old - new).abs().max() < 0.01  # a step from there; random weights differ by 0.02 and more
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"sizes": {"depth": {"layers": 2}}}))
    with pytest.raises(MisoError, match="other sizes"):
        run("train", "lm", tmp_path / "two.safetensors", "-o", tmp_path / "c", *start, 1, "--config", other)


def test_codes_are_those_of_a_voice_prompt(speech, tmp_path):
    codec, device = tmp_path / "codec.safetensors", torch.device("cpu")
    save_mimi(codec, random_mimi(TINY_CODEC, 1, "tiny"))
    coded = encode_speech(speech, codec, tmp_path / "codes.safetensors", device, batch=7)
    loaded = CodedSpeech(tmp_path / "codes.safetensors")
    assert loaded.codec == "tiny" and loaded.voices == ["high", "low"]
    assert len(loaded.utterances) == len(speech.clips)
    mimi, same, total = load_mimi(codec), 0, 0
    for clip, utterance in list(zip(speech.clips, loaded.utterances))[::9]:
        alone = mimi.encode(torch.from_numpy(speech.wave(clip))[None, None])[0].T
        facts = (utterance.text, utterance.voice, utterance.split, utterance.frames)
        assert facts == (clip.text, clip.voice, clip.split, len(alone))
        same, total = same + int((coded.codes_of(utterance) == alone).sum()), total + alone.numel()
    assert same > 0.999 * total  # batches differ by rounding, which may decide ties
    twice = encode_speech(speech, codec, tmp_path / "twice.safetensors", device, versions=2)
    assert len(twice.utterances) == 2 * 116 + 4 and len(twice.split("test")) == 2
    first, second = twice.utterances[:2]  # the second half a frame later
    assert first.text == second.text and 0 <= second.frames - first.frames <= 1
    assert not torch.equal(twice.codes_of(first), twice.codes_of(second)[: first.frames])
    assert torch.equal(twice.codes_of(first), coded.codes_of(coded.utterances[0]))
    with pytest.raises(MisoError, match="not a file of coded speech"):
        CodedSpeech(codec)


def test_settings(tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"rate": 0.1, "betas": [0.5, 0.6], "sizes": {"ratios": [4, 4], "dim": 64}}')
    changed = settings("coder", "nano", file)
    assert changed.rate == 0.1 and changed.betas == (0.5, 0.6)
    assert changed.sizes.ratios == (4, 4) and changed.sizes.codebooks == 8
    file.write_text('{"sizes": {"depth": {"layers": 2}}}')
    assert settings("lm", "nano", file).sizes.depth.layers == 2
    file.write_text('{"learning_rate": 0.1}')
    with pytest.raises(MisoError, match="no settings learning_rate"):
        settings("lm", "nano", file)
    file.write_text("rate = 1")
    with pytest.raises(MisoError, match="must be JSON"):
        settings("lm", "nano", file)
