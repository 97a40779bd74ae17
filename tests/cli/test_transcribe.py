"""transcribe: what nano said is written down."""

import pytest
from harness.graphs import CLEAR

from miso.audio.word_errors import words
from miso.errors import MisoError


def test_what_was_said_is_written_down(run, whisper, tmp_path, capsys):
    sound = tmp_path / "said.flac"
    run("say", CLEAR, "-o", sound, "--seed", "3")
    capsys.readouterr()
    assert run("transcribe", sound, "--recogniser", whisper) == 0
    assert words(capsys.readouterr().out) == words(CLEAR)
    # by its name among the models, and several files
    (tmp_path / "models" / "miso_asr").mkdir(parents=True)
    (tmp_path / "models" / "miso_asr" / "mine").symlink_to(whisper)
    models = ("--models", tmp_path / "models")
    assert run("transcribe", sound, sound, "--recogniser", "mine", "--language", "en", *models) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith(f"{sound}\t") for line in lines)
    with pytest.raises(MisoError, match="python -m miso fetch whisper-base"):
        run("transcribe", sound, *models)
