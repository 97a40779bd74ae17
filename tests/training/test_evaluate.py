"""Figures on clips made up by hand, and the whole evaluation on a tiny model with no judge at all."""

import json

import pytest
from make_tiny import make_tiny

from miso.audio.word_errors import plain
from miso.cli import main
from miso.errors import MisoError
from miso.training import judges
from miso.training.evaluate import SENTENCES
from miso.training.figures import Spoken, expected_seconds, figures, table


def test_figures_of_a_made_up_table():
    text = "The car gathers speed."
    usual = expected_seconds(text)
    clips = [
        Spoken(
            "source", text, "a", 1.5, heard={"whisper": "the car gathers speed"}, mos=4.0, own=0.9, other=0.5
        ),
        Spoken("model", text, "a", usual, "eos", 0.4, 0.1, {"whisper": "the car gathers"}, 3.0, 0.8, 0.6),
        Spoken("model", "A bird.", "b", 9.0, "eos", 4.0, 0.3, {"whisper": "A bird!"}, 4.0, 0.4, 0.6),
        Spoken("model", "Rain fell.", "b", 2.0, "limit", 1.0, 0.2, {}, None, None, None),
    ]
    got = figures(clips, plain)
    assert list(got) == ["source", "model"]
    assert got["source"]["wer_whisper"] == 0
    assert "ended" not in got["source"]
    model = got["model"]
    # a word of the first is missing, both of the third: of 8
    assert model["wer_whisper"] == pytest.approx(3 / 8) and model["floor_whisper"] > 0.9
    assert model["ended"] == pytest.approx(1 / 3, abs=1e-4)  # one much too late, one not by itself
    assert model["mos"] == 3.5 and model["own_voice"] == 0.5 and model["similarity"] == pytest.approx(0.6)
    assert model["first_sound"] == 0.2
    assert model["real_time_factor"] == pytest.approx(5.4 / (11 + usual), abs=1e-4)
    shown = table(got)
    assert "| wer whisper | 0.0 % | 37.5 % |" in shown and "| ended |  | 33.3 % |" in shown


def test_sentences():
    lines = SENTENCES.read_text().splitlines()
    assert len(lines) >= 200 == len(set(lines[:200]))
    assert all(15 < len(line) < 80 and line.isascii() for line in lines)


def test_missing_judges_say_what_to_install(monkeypatch):
    monkeypatch.setattr(judges, "find_spec", lambda name: None)
    assert judges.installed() == []
    for name in judges.JUDGES:
        with pytest.raises(MisoError, match="pip install"):
            judges.judge(name)


def test_command_without_judges(speech, tmp_path, capsys):
    make_tiny(tmp_path)
    command = [
        "evaluate",
        "--checkpoint",
        str(tmp_path / "tiny.safetensors"),
        "--sentences",
        "2",
        "--judges",
        "--threads",
        "1",
    ]
    assert main([*command, "--json", str(tmp_path / "figures.json"), "--keep", str(tmp_path / "clips")]) == 0
    result = json.loads((tmp_path / "figures.json").read_text())
    assert [c["text"] for c in result["clips"]] == SENTENCES.read_text().splitlines()[:2]
    assert result["figures"]["model"]["clips"] == 2 and result["figures"]["model"]["real_time_factor"] > 0
    assert "| real time factor |" in capsys.readouterr().out
    assert len(list((tmp_path / "clips" / "model").iterdir())) == 2
    # with a source every sentence is said four times
    assert main([*command, "--source", str(speech.folder), "--json", str(tmp_path / "four.json")]) == 0
    result = json.loads((tmp_path / "four.json").read_text())
    assert list(result["figures"]) == ["source", "codec", "model", "prompted"]
    assert {c["text"] for c in result["clips"]} == {speech.split("test")[0].text}
    with pytest.raises(MisoError, match="no judge 'me'"):
        main([*command[:-3], "--judges", "me"])
