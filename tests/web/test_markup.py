"""Text from files, drawn by the page: markup in it is shown, never run. Menus are opened by real clicks."""

import shutil

import pytest
import torch

from miso.codes.codes import Codes
from miso.codes.hidden import Hidden
from miso.codes.store import FOLDER, Store
from miso.codes.takes import Span, Take

SCRIPT = '<img src=x onerror="window.misoScript=1">'
# the lists of files are those of the moment when the page was opened
ADD = """async type => {
  app.graph.clear();
  await app.refreshComboInNodes();
  const node = LiteGraph.createNode(type);
  app.graph.add(node);
  node.pos = [300, 200];
  app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0]; app.canvas.draw(true, true); }"""
# where a widget of the only node is on the page
PLACE = """name => {
  const node = app.graph.nodes[0], widget = node.widgets.find(w => w.name === name), box = app.canvas.canvas.getBoundingClientRect();
  const [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + node.size[0] / 2, node.pos[1] + widget.last_y + 10]);
  return [box.x + x, box.y + y]; }"""


@pytest.fixture
def hostile(server):
    """Codes on the server's disk whose words and file names are markup."""
    take = Take(5, "limit", (Span(0, 3, SCRIPT),))
    codes = Codes(torch.ones(1, 8, 3, dtype=torch.int64), [3], "tiny", codebook_size=64, takes=(take,))
    folder = server.base / "output" / "codes" / "<b>bold<"
    codes.save(folder / f"{SCRIPT.replace('/', '')}.safetensors")
    Store(server.base / "user" / FOLDER).put(
        "c" * 64, codes, Hidden(torch.zeros(1, 3, 4), codes.lengths, "m")
    )
    yield server
    shutil.rmtree(folder)


@pytest.mark.parametrize("node, widget", [("MisoStoredCodes", "kept"), ("MisoLoadCodes", "file")])
def test_menus_run_no_script(hostile, browser_page, node, widget):
    page = browser_page.page
    page.evaluate(ADD, node)
    page.mouse.click(*page.evaluate(PLACE, widget))
    menu = page.locator(".litecontextmenu").first
    menu.wait_for()
    assert "‹img" in menu.inner_text()
    menu.get_by_text("‹img").first.click()
    page.wait_for_function(
        "name => app.graph.nodes[0].widgets.find(w => w.name === name).value.includes('‹img')", arg=widget
    )
    page.wait_for_load_state("networkidle")
    assert page.evaluate("() => window.misoScript") is None and not page.locator("img[src=x]").count()


def test_the_editor_and_the_takes_show_markup_as_text(hostile, browser_page):
    """The words of a take, drawn by the editor, the picker and their tooltips."""
    page = browser_page.page
    page.evaluate(ADD, "MisoStoredCodes")
    page.evaluate("""() => {
      const kept = app.graph.nodes[0], widget = kept.widgets.find(w => w.name === 'kept');
      widget.value = widget.options.values.find(v => v.includes('‹img'));
      for (const [i, type] of ['MisoCodeEditor', 'MisoTakePicker'].entries()) {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        node.pos = [700, 100 + 420 * i];
        kept.connect(0, node, node.inputs.findIndex(input => input.name === 'codes'));
      } }""")
    end, detail = browser_page.run()
    assert end == "execution_success", detail
    page.wait_for_function(
        "() => / of 3 /.test(document.querySelector('.miso-editor [role=status]').textContent)"
    )
    page.locator("canvas.miso-timeline").first.hover()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("() => window.misoScript") is None and not page.locator("img[src=x]").count()
    assert not browser_page.errors
