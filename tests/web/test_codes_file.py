"""Load Codes in the page: a file can be heard, new ones are found without a reload."""

import shutil

import pytest
import torch

from miso.codes.codes import Codes
from miso.codes.takes import Span, Take

# Load Codes alone, with the tiny vocoder on preview
BUILD = """() => {
  app.graph.clear();
  const add = (type, x) => { const n = LiteGraph.createNode(type); app.graph.add(n); n.pos = [x, 200]; return n; };
  const vocoder = add('MisoLoadVocoder', 60), file = add('MisoLoadCodes', 400);
  vocoder.widgets.find(w => w.name === 'checkpoint').value = 'tiny-codec.safetensors';
  vocoder.connect(0, file, file.inputs.findIndex(i => i.name === 'preview'));
  app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0]; }"""
FILE = "() => app.graph.nodes.find(n => n.type === 'MisoLoadCodes').widgets.find(w => w.name === 'file')"


@pytest.fixture
def folder(server):
    folder = server.base / "output" / "elsewhere"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def save(path, frames: int, text: str) -> None:
    take = Take(5, "eos", (Span(0, frames, text),))
    tensor = torch.ones(1, 8, frames, dtype=torch.int64)
    Codes(tensor, [frames], "tiny", codebook_size=64, takes=(take,)).save(path)


@pytest.mark.parametrize("vue", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_file_is_found_heard_and_described(browser_page, folder, vue):
    page = browser_page.page
    page.evaluate("vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", vue)
    try:
        page.evaluate(BUILD)
        view = page.get_by_role("group", name="Codes file")
        view.wait_for()
        play = view.get_by_role("button", name="Play the first take")
        assert play.is_disabled() and "Run to see and hear it" in view.inner_text()
        save(folder / "deep" / "new.safetensors", 25, "A line to keep.")
        view.get_by_role("button", name="Look for new files").evaluate("e => e.click()")
        page.wait_for_function(
            f"() => ({FILE})().options.values.some(v => v.startsWith('elsewhere/deep/new'))"
        )
        page.wait_for_function(
            "() => / file/.test(document.querySelector('[aria-label=\"Codes file\"]').innerText)"
        )
        page.evaluate(
            f"() => {{ const w = ({FILE})(); w.value = 'elsewhere/deep/new.safetensors [output]'; w.callback?.(w.value); }}"
        )
        assert browser_page.run()[0] == "execution_success"
        page.get_by_text("2.00 s · ended · seed 5").wait_for()
        assert "A line to keep." in view.inner_text()
        browser_page.listen()
        play.evaluate("e => e.click()")  # it may lie under the page's own buttons
        page.wait_for_function("() => window.misoHeard.length === 1")
        assert page.evaluate("() => window.misoHeard[0].length") == 25 * 1920
        page.wait_for_function(
            "() => !document.querySelector('.miso button[aria-pressed=true]')"
        )  # 2 s later
        page.evaluate(f"() => {{ const w = ({FILE})(); w.value = 'other'; w.callback?.(w.value); }}")
        assert play.is_disabled() and "Run to see" in view.inner_text()
    finally:
        page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    assert not browser_page.errors
