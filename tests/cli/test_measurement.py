"""bench, at a small size."""

import json
from xml.etree import ElementTree


def test_bench(capsys, tmp_path, run):
    figures_file, picture = tmp_path / "b.json", tmp_path / "b.svg"
    options = ["--size", "nano", "--device", "cpu", "--frames", 4, "--prompt-rows", 16, "--exact"]
    assert run("bench", *options, "--json", figures_file, "--picture", picture) == 0
    figures = json.loads(figures_file.read_text())
    (result,) = figures["runs"]
    assert result["frames"] == 4 and result["path"] == "plain" and result["over_floor"] > 1
    assert "frame_ms" in capsys.readouterr().out
    assert figures["hidden_error"] < 1e-5
    assert set(figures["prefill_ms"]) == {"128", "1500"}
    assert figures["first_sound_ms"] > 0.3 * result["frame_ms"]  # it has a frame in it, on an uneven machine
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
