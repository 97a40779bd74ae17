"""What a block says below itself: there after the run, and after the page was loaded again."""

import pytest

from miso.tools.bootstrap import ROOT

LINE = ".miso-said"
PREFIX = """prefix => app.graph.nodes.filter(n => n.type === 'MisoSaveCodes').forEach(n => {
  n.widgets.find(w => w.name === 'filename_prefix').value = prefix; })"""
# values of blocks that say something, and heights, which Vue nodes settle by themselves after a while
SAVED = """vue => app.graph.serialize().nodes.filter(n => /SaveCodes|LoadModel/.test(n.type))
  .map(n => [n.widgets_values, vue || n.size[1]])"""
TEXT = """text => { app.graph.nodes.find(n => n.type === 'MisoEncodeText').widgets.find(w => w.name === 'text').value = text; }"""


@pytest.mark.parametrize("vue", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_save_codes_says_where_and_goes_on_saying_it(browser_page, vue):
    page = browser_page.page
    page.evaluate("vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", vue)
    try:
        browser_page.load_tiny(ROOT / "workflows" / "text_to_speech.json")
        page.evaluate(PREFIX, f"codes/line {vue}")  # so that it runs again
        before = page.evaluate(SAVED, vue)
        assert browser_page.run()[0] == "execution_success"
        said = page.locator(LINE).filter(has_text=f"Saved as output/codes/line {vue}_")
        said.wait_for()
        box = said.evaluate("e => [e.clientHeight, e.scrollHeight, e.clientWidth]")
        assert box[0] >= box[1] and box[2] > 100, box  # all of it can be read
        # a line is no value, and what the block has grown by is no edit: the page's undo would never get past it
        assert page.evaluate(SAVED, vue) == before
        saved = page.evaluate("() => app.graph.serialize()")
        browser_page.reload()
        browser_page.load(saved)
        page.locator(LINE).filter(has_text="Saved as output/codes/line").wait_for()
    finally:
        page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    assert not browser_page.errors


@pytest.mark.parametrize("vue", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_error_is_read_on_the_node_until_the_next_run(browser_page, vue):
    """Newer pages say no more than that a node has failed."""
    page = browser_page.page
    page.evaluate("vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", vue)
    try:
        browser_page.load_tiny(ROOT / "workflows" / "text_to_speech.json")
        page.evaluate(TEXT, " ")
        assert browser_page.run()[0] == "execution_error"
        error = page.locator(f"{LINE}.miso-error")
        error.wait_for()
        assert error.inner_text() == "text: Write what is to be said: the text is empty."
        page.evaluate("() => document.querySelector('.p-dialog-close-button')?.click()")
        page.evaluate(TEXT, "Hello.")
        assert browser_page.run()[0] == "execution_success"
        error.wait_for(state="detached")
    finally:
        page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    assert not browser_page.errors
