"""align on the tiny checkpoint: every format, on the terminal and in files; words are kept with the codes."""

import json

import pytest

from miso.codes.codes import Codes
from miso.errors import MisoError


@pytest.fixture
def spoken(say, tmp_path):
    say("Hello there.", "x.flac", "--codes", tmp_path / "codes.safetensors")
    return tmp_path / "codes.safetensors"


@pytest.fixture
def align(run, tiny, spoken):
    return lambda *options: run("align", spoken, "--checkpoint", tiny / "tiny.safetensors", *options)


def test_formats_by_name_and_by_option(align, tmp_path, capsys):
    capsys.readouterr()
    assert align() == 0
    told = capsys.readouterr()
    assert told.out.startswith("1\n00:00:00,") and "Hello" in told.out and " words, " in told.err
    for name, start in (("a.srt", "1\n00:00"), ("a.vtt", "WEBVTT\n"), ("a.txt", "0."), ("a.json", "{")):
        align("-o", tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    align("--to", "labels", "-o", tmp_path / "a.other", "--text", "Good bye.")
    assert (tmp_path / "a.other").read_text(encoding="utf-8").split()[2::3] == ["Good", "bye."]


def test_codes_with_words_align_to_the_same(align, spoken, tmp_path, run, tiny):
    known = tmp_path / "known.safetensors"
    align("--to", "json", "-o", tmp_path / "first.json", "--codes", known)
    words = json.loads((tmp_path / "first.json").read_text(encoding="utf-8"))["words"]
    codes = Codes.load(known)
    assert [word.text for word in codes.takes[0].words] == [word["text"] for word in words] != []
    assert codes.tensor.equal(Codes.load(spoken).tensor)
    run("align", known, "--checkpoint", tiny / "tiny.safetensors", "-o", tmp_path / "second.json")
    assert (tmp_path / "second.json").read_bytes() == (tmp_path / "first.json").read_bytes()


def test_what_is_wrong_is_said(align, spoken, run, tmp_path, tiny):
    with pytest.raises(MisoError, match="kind 'mp3'"):
        align("-o", tmp_path / "x.mp3")
    codes, dumb = Codes.load(spoken), tmp_path / "dumb.safetensors"
    Codes(codes.tensor, codes.lengths, codes.codec).save(dumb)
    with pytest.raises(MisoError, match="^--text: The text of these codes is not known. Type exactly what"):
        run("align", dumb, "--checkpoint", tiny / "tiny.safetensors")
    with pytest.raises(MisoError, match="the model speaks 'nano-2'"):
        run("align", spoken)
    assert not (tmp_path / "x.mp3").exists()
