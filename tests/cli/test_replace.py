"""replace on the tiny checkpoint: other words, the old frames before them, and what can't be done is said."""

import pytest

from miso.codes.codes import Codes
from miso.errors import MisoError


def test_other_words_are_said_and_a_candidate_is_chosen(say, run, tiny, tmp_path, capsys):
    codes, out = tmp_path / "codes.safetensors", tmp_path / "out.safetensors"
    say("Hello there.", "x.flac", "--codes", codes)
    options = codes, "--checkpoint", tiny / "tiny.safetensors", "--takes", 2, "-o", out
    assert run("replace", *options, "--text", "Hello again.") == 0
    assert "there. → again.: " in capsys.readouterr().err
    first = Codes.load(out)
    assert first.batch == 1 and first.takes[0].text == "Hello again."
    run("replace", *options, "--text", "Hello again.", "--rank", 2)
    assert not Codes.load(out).tensor.equal(first.tensor)
    (names := tmp_path / "names.txt").write_text("there = where", encoding="utf-8")
    run("replace", *options, "--text", "Hello there.", "--pronunciations", names)
    assert "there. → there.: " in capsys.readouterr().err
    run("replace", *options, "--text", "hello there!")
    assert Codes.load(out).tensor.equal(Codes.load(codes).tensor)
    with pytest.raises(MisoError, match="no take 3"):
        run("replace", *options, "--text", "Hello again.", "--rank", 3)
