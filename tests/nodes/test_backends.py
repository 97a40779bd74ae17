"""Vocoder backends of other packs: the example of docs/your-own-vocoder.md, and packs that fail."""

import importlib.util
import sys
import types

import pytest
import torch
from harness.graphs import graph

from miso.tools.bootstrap import ROOT

EXAMPLE = ROOT / "docs" / "telephone_vocoder.py"


def options(comfy) -> list[str]:
    declared = comfy.nodes.NODE_CLASS_MAPPINGS["MisoLoadVocoder"].INPUT_TYPES()
    return declared["required"]["backend"][1]["options"]


@pytest.fixture
def pack(monkeypatch, comfy):
    """``pack(MISO_VOCODERS)``: a module of another pack, as ComfyUI has loaded it."""
    registry = comfy.module("miso.vocoders.registry")
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(comfy.module("nodes.backends"), "_known", {})

    def load(backends):
        module = types.ModuleType("another pack")
        module.MISO_VOCODERS, module.__file__ = backends, "/custom_nodes/another.py"
        monkeypatch.setitem(sys.modules, "another pack", module)

    return load


def test_the_example_works_as_it_is(fresh, pack):
    """ComfyUI loads the file itself, after Miso; then Load Vocoder offers it."""
    assert "telephone" not in options(fresh)
    loaded = fresh._thread.submit(
        lambda: __import__("asyncio").run(fresh.nodes.load_custom_node(str(EXAMPLE)))
    )
    assert loaded.result() is True
    assert "telephone" in options(fresh)
    assert fresh.run(graph()).ok
    plain = fresh.value(5)["waveform"]
    done = fresh.run(graph(n4__backend="telephone"))
    assert done.ok and "3" not in done.ran, done.error
    sound = fresh.value(5)
    assert sound["waveform"].shape == plain.shape and sound["sample_rate"] == 24_000
    spectrum, before = (
        torch.fft.rfft(wave).abs().square().sum((0, 1)) for wave in (sound["waveform"], plain)
    )
    hertz = torch.fft.rfftfreq(plain.shape[-1], 1 / 24_000)
    outside = (hertz < 250) | (hertz > 3500)
    assert spectrum[outside].sum() < 1e-3 * before[outside].sum()
    torch.testing.assert_close(spectrum[~outside][200:2000], before[~outside][200:2000], rtol=0.05, atol=1e-2)


def test_the_example_registers_without_comfyui(monkeypatch):
    import miso
    from miso.checkpoints.find import BUNDLED
    from miso.vocoders import registry

    monkeypatch.setattr(registry, "_registered", {})
    spec = importlib.util.spec_from_file_location("telephone_vocoder", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    miso.vocoders.register("telephone", example.telephone(miso))
    vocoder = miso.vocoders.load_vocoder("telephone", BUNDLED / "nano-vocoder.safetensors")
    codes = torch.randint(0, 2048, (1, vocoder.codebooks, 3))
    assert vocoder.decode(codes).shape == (1, 1, 3 * vocoder.frame_size)
    lines = [
        line for line in EXAMPLE.read_text().splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) <= 40


def test_a_pack_that_fails_takes_no_block_away(fresh, pack, caplog):
    def broken(miso):
        raise ImportError("no module named 'gone'")

    built_in = options(fresh)
    loader = lambda miso: lambda *_, **__: None  # noqa: E731
    pack({"broken": broken, "mimi": loader, "<b>": loader, 5: loader, "fine one": loader})
    assert options(fresh) == [*built_in, "fine one"]
    warnings = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(warnings) == 4 and "another.py" in warnings[0] and "'gone'" in warnings[0]
    caplog.clear()
    assert options(fresh) and not caplog.records  # said once


@pytest.mark.parametrize(
    "load, words",
    [
        (lambda *_, **__: None, "gave NoneType, which is no vocoder"),
        (lambda *_, **__: 1 / 0, "can't open this file (ZeroDivisionError: division by zero)"),
    ],
)
def test_a_backend_that_fails_is_named_with_its_file(fresh, pack, load, words):
    pack({"theirs": lambda miso: load})
    error = fresh.run(graph(n4__backend="theirs")).error
    assert error.startswith("Load Vocoder: The vocoder backend 'theirs'") and words in error
    assert "/custom_nodes/another.py" in error
