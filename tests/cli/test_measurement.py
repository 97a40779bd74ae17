"""bench, at a small size."""

import json
from xml.etree import ElementTree

import pytest
import torch

from miso.tools.bench_vocoders import bench_vocoders, table
from miso.vocoders.mimi import MimiConfig

SMALL = MimiConfig(filters=4, dim=64, heads=1, encoder_layers=1, decoder_layers=1, ff=16, codebooks=8)


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


@pytest.mark.parametrize(
    "backends", [{"mimi", "source-filter"}, pytest.param(None, marks=pytest.mark.slow)], ids=["own", "all"]
)
def test_bench_of_vocoders(backends):
    """Each in a process of its own, at a small size."""
    results = bench_vocoders(torch.device("cpu"), seconds=1, config=SMALL, backends=backends)
    figures = {result["name"]: result for result in results}
    assert {"mimi", "source-filter"} <= set(figures) and not any("error" in result for result in results)
    own = figures["mimi"]
    assert own["whole_db"] > 100 and own["stream_db"] > 100 and own["whole"] > 0
    assert own["first_sound_ms"] > 0 and own["frame_ms"] > 0
    assert all(figures[name]["whole_db"] is None for name in {"source-filter", "lfm2"} & set(figures))
    for name in {"moshi", "transformers", "onnx"} & set(figures):
        assert figures[name]["whole_db"] > 90
    assert "frame_ms" not in figures.get("transformers", {})
    lines = table(results).splitlines()
    assert len(lines) == 2 + len(results) and all(line.count("|") == lines[0].count("|") for line in lines)
