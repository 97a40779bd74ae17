"""Preparing speech: what comes out, again and again the same, and after a cut."""

import json

import numpy as np
import pytest
from training.helpers import sound, wav_bytes

from miso.cli import main
from miso.errors import MisoError
from miso.training.data import RATE, Speech
from miso.training.prepare import prepare


def test_samples_and_facts(speech):
    assert len(speech.clips) == 120 and speech.voices == ["high", "low"]
    clip = next(c for c in speech.clips if c.file == "low/00003.wav")
    assert np.array_equal(speech.samples[clip.start : clip.start + clip.samples], sound(clip.text))
    assert clip.line == 3
    assert {c.line for c in speech.split("validation")} == {17}
    assert {c.line for c in speech.split("test")} == {42}
    assert len(speech.split("train")) == 116


def test_a_cut_run_goes_on_where_it_was(source, speech, tmp_path):
    prepare([source], tmp_path, seconds=(0.3, 10))
    samples, facts = (tmp_path / "samples.i16").read_bytes(), (tmp_path / "clips.jsonl").read_bytes()
    assert facts == (speech.folder / "clips.jsonl").read_bytes()
    lines = facts.splitlines(keepends=True)
    (tmp_path / "clips.jsonl").write_bytes(b"".join(lines[:50]) + lines[50][:20])
    end = sum(2 * json.loads(line)["samples"] for line in lines[:50])
    (tmp_path / "samples.i16").write_bytes(samples[: end + 777])
    prepare([source], tmp_path, seconds=(0.3, 10), workers=2)
    assert (tmp_path / "samples.i16").read_bytes() == samples
    assert (tmp_path / "clips.jsonl").read_bytes() == facts


def test_speeds_are_voices_of_their_own(source, tmp_path):
    speech = prepare([source / "high.tar"], tmp_path, speeds=(1, 1.25), seconds=(0.3, 10))
    assert speech.voices == ["high"] and {c.voice for c in speech.clips} == {"high", "high@1.25"}
    slow, fast = (next(c for c in speech.clips if c.line == 3 and c.perturbed is p) for p in (False, True))
    assert abs(fast.samples * 1.25 - slow.samples) < 2
    spectrum = np.abs(np.fft.rfft(speech.wave(fast)))
    assert np.argmax(spectrum) / fast.samples == pytest.approx(
        1.25 * np.argmax(np.abs(np.fft.rfft(speech.wave(slow)))) / slow.samples, rel=0.02
    )


def test_phonemes_that_are_given(source, tmp_path):
    (tmp_path / "high.tar").write_bytes((source / "high.tar").read_bytes())
    rows = [line for line in (source / "transcripts.tsv").read_text().splitlines() if line.startswith("high")]
    (tmp_path / "transcripts.tsv").write_text("".join(f"{line}\tbæd\n" for line in rows))
    speech = prepare([tmp_path], tmp_path / "out", phonemes=True, seconds=(0.3, 10))
    assert {c.phonemes for c in speech.clips} == {"bæd"} and len(speech.clips) == 60


def test_other_rates_lengths_and_texts_beside(tmp_path, capsys):
    voice = tmp_path / "me"
    voice.mkdir()
    (voice / "one.wav").write_bytes(wav_bytes(sound("bad cab dab fed"), 12_000))
    (voice / "one.txt").write_text("Bad cab dab fed.\n")
    (voice / "short.wav").write_bytes(wav_bytes(sound("a")))
    (voice / "short.txt").write_text("a")
    (voice / "broken.wav").write_bytes(b"not a sound")
    (voice / "broken.txt").write_text("no")
    assert main(["train", "prepare", str(voice), "-o", str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "1 clip " in capsys.readouterr().out
    (clip,) = Speech(tmp_path / "out").clips
    assert clip.text == "Bad cab dab fed."
    assert clip.voice == "me"
    assert clip.samples == pytest.approx(2 * len(sound("bad cab dab fed")), abs=50)
    with pytest.raises(MisoError, match="no transcripts"):
        prepare([tmp_path / "out"], tmp_path / "other")
    assert RATE == 24_000
