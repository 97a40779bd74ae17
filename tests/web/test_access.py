"""Who has no mouse or sees no screen: every control can be reached with Tab, and everything has a name to be
said."""

import pytest
from harness.access import check

from miso.tools.bootstrap import ROOT

VIEWS = {
    "Live playback": "MisoBackboneSampler",
    "Take picker": "MisoTakePicker",
    "Code editor": "MisoCodeEditor",
}
# short takes, never sampled before, and a second clip, so that all the editor's controls are there
BUILD = """() => {
  const of = type => app.graph.nodes.find(n => n.type === type), editor = of('MisoCodeEditor');
  for (const [name, value] of Object.entries({max_seconds: 1.6, seed: Math.floor(Math.random() * 1e9)}))
    of('MisoBackboneSampler').widgets.find(w => w.name === name).value = value;
  of('MisoBackboneSampler').connect(0, editor, editor.inputs.findIndex(i => i.name === 'other')); }"""
SHOW = """type => { const n = app.graph.nodes.find(n => n.type === type);
  app.canvas.ds.scale = 1; app.canvas.ds.offset = [-n.pos[0] + 300, -n.pos[1] + 250]; app.canvas.draw(true, true); }"""


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["classic", "vue"])
def page(browser_page, request):
    """All views after a run, in the middle of some editing."""
    page = browser_page.page
    browser_page.load_tiny(ROOT / "workflows" / "edit_codes.json")
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", request.param)
    try:
        if request.param:
            page.wait_for_selector("[data-node-id]")
        page.evaluate(BUILD)
        assert browser_page.run()[0] == "execution_success"
        page.evaluate(SHOW, "MisoCodeEditor")
        page.wait_for_function(
            "() => / of [0-9]+ /.test(document.querySelector('.miso-editor [role=status]').textContent)"
        )
        page.locator("canvas.miso-timeline").first.focus()
        for key in (
            "Home",
            "Shift+ArrowRight",
            "Control+c",
            "Control+v",
            "Control+z",
            "Home",
            "Shift+ArrowRight",
        ):
            page.keyboard.press(key)
        yield page
        assert not browser_page.errors
    finally:
        page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_without_mouse_or_screen(page):
    what_happens_is_said(page)
    every_control_is_reached_and_named(page)
    the_keyboard_works_them(page)


def what_happens_is_said(page):
    """Once, when it has happened: a screen reader reads out a status that changes."""
    for (name, node), words in zip(VIEWS.items(), ("20 frames", "Chosen: 1 of 3", "Frame 0 selected")):
        page.evaluate(SHOW, node)
        status = page.get_by_role("group", name=name).get_by_role("status")
        assert words in status.inner_text() and status.get_attribute("aria-busy") in (None, "false")


def every_control_is_reached_and_named(page):
    for (name, node), least in zip(VIEWS.items(), (1, 6, 20)):
        page.evaluate(SHOW, node)
        check(page, page.get_by_role("group", name=name), least)


def the_keyboard_works_them(page):
    page.evaluate(SHOW, "MisoBackboneSampler")
    sound = page.get_by_role("group", name="Live playback").get_by_role(
        "button", name="Play the first take while"
    )
    sound.focus()
    page.keyboard.press("Enter")
    assert sound.get_attribute("aria-pressed") == "true"
    page.evaluate(SHOW, "MisoCodeEditor")
    editor = page.get_by_role("group", name="Code editor")
    enlarge = editor.get_by_role("button", name="Enlarge the editor, or put it back into the node")
    enlarge.focus()
    page.keyboard.press("Enter")
    assert editor.locator("canvas").first.evaluate(
        "e => e === document.activeElement && !!e.closest('dialog')"
    )
    check(page, editor, 20)
    enlarge.focus()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog.miso-dialog')")
    page.wait_for_function(
        "() => document.activeElement === document.querySelector('.miso-editor canvas')"
    )  # keys are still the editor's
