"""From sound files to a model that speaks, by the commands alone."""

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


def test_all_the_way(source, tmp_path, capsys):
    folder = {name: str(tmp_path / name) for name in ("speech", "coder", "codec", "lm", "tuned")}
    (tmp_path / "config.json").write_text(json.dumps({"seconds": 2, "sizes": {"filters": 2}}))
    assert (
        main(
            [
                "train",
                "prepare",
                str(source),
                "-o",
                folder["speech"],
                "--workers",
                "1",
                "--min-seconds",
                "0.3",
            ]
        )
        == 0
    )
    few = ["--preset", "tiny", "--steps", "6"]
    assert (
        main(
            [
                "train",
                "coder",
                folder["speech"],
                "-o",
                folder["coder"],
                "--config",
                str(tmp_path / "config.json"),
                *few,
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "train",
                "codec",
                folder["speech"],
                "--coder",
                str(tmp_path / "coder" / "coder.safetensors"),
                "-o",
                folder["codec"],
                *few,
            ]
        )
        == 0
    )
    codec, codes = str(tmp_path / "codec" / "codec.safetensors"), str(tmp_path / "codes.safetensors")
    assert load_mimi(codec).config.filters == 2
    assert main(["train", "codes", folder["speech"], "--codec", codec, "-o", codes]) == 0
    for steps in ("4", "8"):  # the second call goes on
        assert main(["train", "lm", codes, "-o", folder["lm"], "--preset", "tiny", "--steps", steps]) == 0
    record = json.loads((tmp_path / "lm" / "record.json").read_text())
    assert (
        record["steps"] == 8
        and len(record["calls"]) == 2
        and record["data"]["utterances"] == 116
        and record["settings"]["dropout"] == 0
    )
    assert record["figures"]["held_out_loss"] > 0
    model = str(tmp_path / "lm" / "model.safetensors")
    tune = [
        "train",
        "finetune",
        str(source / "high.tar"),
        "--checkpoint",
        model,
        "--codec",
        codec,
        "-o",
        folder["tuned"],
        "--preset",
        "tiny",
        "--rank",
        "2",
        "--speaker",
        "5",
        "--steps",
        "3",
    ]
    assert main(tune) == 0
    tuned = Checkpoint(tmp_path / "tuned" / "model.safetensors")
    assert tuned.metadata["base"] == Checkpoint(model).fingerprint
    assert json.loads((tmp_path / "tuned" / "record.json").read_text())["data"]["speakers"] == {"high": 5}
    capsys.readouterr()
    assert (
        main(
            [
                "evaluate",
                "--checkpoint",
                str(tmp_path / "tuned"),
                "--codec",
                codec,
                "--sentences",
                "1",
                "--judges",
                "--threads",
                "1",
            ]
        )
        == 0
    )
    assert "| clips | 1 |" in capsys.readouterr().out
    loop = Miso(model, device="cpu").sample([Segment("bad cab", 1)], seeds=[0], max_seconds=1)
    list(loop)
    assert loop.codes.codec == "tiny"


def test_all_in_one_go_and_again(speech, tmp_path, capsys):
    command = ["train", "nano", str(speech.folder), "-o", str(tmp_path), "--preset", "tiny"]
    command += [
        "--coder-minutes",
        "0.02",
        "--codec-minutes",
        "0.03",
        "--vocoder-minutes",
        "0.02",
        "--lm-minutes",
        "0.02",
    ]
    command += ["--listener-minutes", "0.02", "--encoder-minutes", "0.02"]
    assert main(command) == 0
    begun = (
        json.loads((tmp_path / "codec" / "record.json").read_text())["steps"],
        (tmp_path / "codes.safetensors").stat().st_mtime_ns,
    )
    made = Checkpoint(tmp_path / "nano.safetensors")
    assert (
        made.weights == "int8"
        and made.config.codec == "tiny"
        and load_mimi(tmp_path / "nano-codec.safetensors").codec == "tiny"
    )
    assert load_vocoder("auto", tmp_path / "nano-vocoder.safetensors").codec == "tiny"
    assert main(command) == 0  # nothing is left to do
    assert begun == (
        json.loads((tmp_path / "codec" / "record.json").read_text())["steps"],
        (tmp_path / "codes.safetensors").stat().st_mtime_ns,
    )
    loop = Miso(tmp_path / "nano.safetensors", device="cpu").sample(
        [Segment("bad cab")], seeds=[0], max_seconds=1
    )
    list(loop)
    assert loop.codes.codec == "tiny"


def test_codes_are_those_of_a_voice_prompt(speech, tmp_path):
    save_mimi(tmp_path / "codec.safetensors", random_mimi(TINY_CODEC, 1, "tiny"))
    coded = encode_speech(
        speech, tmp_path / "codec.safetensors", tmp_path / "codes.safetensors", torch.device("cpu"), batch=7
    )
    again = CodedSpeech(tmp_path / "codes.safetensors")
    assert (
        again.codec == "tiny"
        and again.voices == ["high", "low"]
        and len(again.utterances) == len(speech.clips)
    )
    mimi, same, total = load_mimi(tmp_path / "codec.safetensors"), 0, 0
    for clip, utterance in list(zip(speech.clips, again.utterances))[::9]:
        alone = mimi.encode(torch.from_numpy(speech.wave(clip))[None, None])[0].T
        assert (utterance.text, utterance.voice, utterance.split, utterance.frames) == (
            clip.text,
            clip.voice,
            clip.split,
            len(alone),
        )
        same, total = same + int((coded.codes_of(utterance) == alone).sum()), total + alone.numel()
    assert same > 0.999 * total  # batches differ by rounding, which may turn a tie
    twice = encode_speech(
        speech,
        tmp_path / "codec.safetensors",
        tmp_path / "twice.safetensors",
        torch.device("cpu"),
        versions=2,
    )
    assert len(twice.utterances) == 2 * 116 + 4 and len(twice.split("test")) == 2
    first, second = twice.utterances[:2]  # the second half a frame later
    assert (
        first.text == second.text
        and 0 <= second.frames - first.frames <= 1
        and not torch.equal(twice.codes_of(first), twice.codes_of(second)[: first.frames])
    )
    assert torch.equal(twice.codes_of(first), coded.codes_of(coded.utterances[0]))
    with pytest.raises(MisoError, match="not a file of coded speech"):
        CodedSpeech(tmp_path / "codec.safetensors")


def test_settings(tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"rate": 0.1, "betas": [0.5, 0.6], "sizes": {"ratios": [4, 4], "dim": 64}}')
    changed = settings("coder", "nano", file)
    assert (
        changed.rate == 0.1
        and changed.betas == (0.5, 0.6)
        and changed.sizes.ratios == (4, 4)
        and changed.sizes.codebooks == 8
    )
    file.write_text('{"sizes": {"depth": {"layers": 2}}}')
    assert settings("lm", "nano", file).sizes.depth.layers == 2
    file.write_text('{"learning_rate": 0.1}')
    with pytest.raises(MisoError, match="no settings learning_rate"):
        settings("lm", "nano", file)
    file.write_text("rate = 1")
    with pytest.raises(MisoError, match="must be JSON"):
        settings("lm", "nano", file)
