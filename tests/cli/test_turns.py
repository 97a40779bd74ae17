"""say --script and say --long on the tiny checkpoint."""

import io
import re

import pytest

from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.text.conversation import Conversation

SCRIPT = "Anna: This is one.\nBen: This is two. [pause 0.4]\nAnna: This is three.\n"


@pytest.fixture
def speak(tiny, tmp_path, run):
    """``speak(*options)``: the codes of a run on the tiny checkpoint, with at most 0.4 s a turn."""

    def speak(*options) -> Codes:
        path = tmp_path / "codes.safetensors"
        files = ["--checkpoint", tiny / "tiny.safetensors", "--vocoder", tiny / "tiny-codec.safetensors"]
        run("say", *options, *files, "--max-seconds", 0.4, "--codes", path)
        return Codes.load(path)

    return speak


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "talk.txt"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def test_a_script_with_subtitles_and_what_was_cut(tmp_path, speak, script, capsys, monkeypatch):
    codes = speak("--script", script, "--subtitles", tmp_path / "talk.srt", "-o", tmp_path / "talk.flac")
    assert [(s.start, s.end, s.speaker) for s in codes.takes[0].spans] == [(0, 5, 0), (5, 10, 1), (15, 20, 0)]
    assert "Ben: This is two." in (tmp_path / "talk.srt").read_text()
    assert (tmp_path / "talk.flac").stat().st_size > 1000
    said = capsys.readouterr().err
    assert "3 turns, 1.60 s; 0 kept" in said
    assert "turn 2 (line 2) was cut at the time limit: raise --max-seconds" in said
    monkeypatch.setattr("sys.stdin", io.StringIO(SCRIPT))
    assert speak("--script", "-").digest() == codes.digest()


def test_what_is_kept_is_not_said_again(tmp_path, speak, script, capsys):
    first = speak("--script", script, "--keep", tmp_path / "kept")
    script.write_text(SCRIPT.replace("three", "the end"))
    second = speak("--script", script, "--keep", tmp_path / "kept")
    assert "; 2 kept" in capsys.readouterr().err
    assert second.tensor[..., :15].equal(first.tensor[..., :15])


def test_a_conversation_goes_on(tmp_path, speak, script):
    whole = speak("--script", script)
    lines = SCRIPT.splitlines()
    for part in ("\n".join(lines[:2]), lines[2]):
        script.write_text(part)
        last = speak("--script", script, "--conversation", tmp_path / "talk.safetensors")
    assert last.tensor.equal(whole.tensor[..., 15:])
    kept = Conversation.load(tmp_path / "talk.safetensors")
    assert len(kept.segments) == 3 and kept.names == {"Anna": 0, "Ben": 1}


def test_a_long_text_in_a_voice(tmp_path, speak, capsys):
    voice = tmp_path / "Eve.safetensors"
    speak("--long", "A voice.")
    assert "\n1 part, 0.40 s; 0 kept\npart 1 was cut" in capsys.readouterr().err
    (tmp_path / "codes.safetensors").rename(voice)
    text = "This is a sentence that takes some seconds to say aloud. " * 8
    plain, voiced = speak("--long", text), speak("--long", text, "--voice", voice, "--speaker", 2)
    assert len(plain.takes[0].spans) == 2 and not plain.tensor.equal(voiced.tensor)
    assert {span.speaker for span in voiced.takes[0].spans} == {2}


def test_a_text_too_long_for_a_take_hints_at_long(say, capsys):
    say("Hello there.", "short.flac", "--max-seconds", 2)
    assert "--long" not in capsys.readouterr().err
    say("word " * 100, "x.flac")
    told = r"The text takes about 29 s, and a take holds [0-9.]+ s: with --long it is cut into parts\n"
    assert re.search(told, capsys.readouterr().err)


def test_voices_of_a_script(tmp_path, speak, script):
    speak("--long", "A voice.")
    voice = (tmp_path / "codes.safetensors").rename(tmp_path / "Eve.safetensors")
    plain, one = speak("--script", script), speak("--script", script, "--voice", f"Ben={voice}")
    both = speak("--script", script, "--voice", f"Ben={voice}", "--voice", voice)
    assert len({codes.digest() for codes in (plain, one, both)}) == 3


@pytest.mark.parametrize(
    "options, words",
    [
        (["--script", "nowhere.txt"], "can't be read"),
        (["--long", "Hello.", "--takes", 2], "one take"),
        (["--long", "Hello.", "--prefix", "x"], "--prefix doesn't go with"),
        (["--long", " "], "the text is empty"),
        (["--long", "Hello.", "--subtitles", "x.vtt"], "writes SRT, not x.vtt"),
        (["--long", __file__], "takes the text itself"),
        (["Hello.", "--voice", "haert"], "no voice 'haert'"),
        (["Hello.", "--subtitles", "x.srt"], "--subtitles goes with --script or --long"),
        (["Hello.", "--voice", "a", "--voice", "b"], "Several voices"),
    ],
)
def test_what_does_not_go_together(speak, options, words):
    with pytest.raises(MisoError, match=words):
        speak(*options)


def test_a_voice_for_nobody_is_refused(tmp_path, speak, script):
    speak("Hello there.")
    voice = (tmp_path / "codes.safetensors").rename(tmp_path / "Eve.safetensors")
    with pytest.raises(MisoError, match="Nobody in the script is called 'Bem'. It has: Anna, Ben"):
        speak("--script", script, "--voice", f"Bem={voice}")


def test_a_take_that_was_cut_is_said_to_be(say, capsys):
    say("Hello there.", "x.flac", "--takes", 2)
    assert "take 2 was cut at the time limit" in capsys.readouterr().err
