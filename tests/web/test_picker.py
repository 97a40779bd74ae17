"""The Take Picker: rows to choose from, a choice that is kept, and nothing run again that needn't be."""

import json

import pytest

from miso.tools.bootstrap import ROOT

# model and vocoder -> text -> sampler (3 takes) -> picker -> save codes
BUILD = """seed => {
  const of = type => app.graph.nodes.find(n => n.type === type), add = type => { const n = LiteGraph.createNode(type); app.graph.add(n); return n; };
  const join = (from, slot, to, input) => of(from).connect(slot, to, to.inputs.findIndex(i => i.name === input));
  const sampler = of('MisoBackboneSampler');
  for (const [name, value] of Object.entries({seed, takes: 3, max_seconds: 2.4})) sampler.widgets.find(w => w.name === name).value = value;
  const picker = add('MisoTakePicker');
  picker.pos = [sampler.pos[0], sampler.pos[1] + 420];
  join('MisoBackboneSampler', 0, picker, 'codes');
  join('MisoLoadVocoder', 0, picker, 'vocoder');
  join('MisoTakePicker', 0, of('MisoVocoderDecode'), 'codes');
  join('MisoTakePicker', 0, of('MisoSaveCodes'), 'codes');
}"""
COLLECT = """() => { window.misoRan = []; window.misoCached = []; window.misoTakes = [];
  const type = id => app.graph.getNodeById(Number(id))?.type;
  misoOn('execution_start', () => { window.misoRan = []; window.misoCached = []; });
  misoOn('executing', e => e.detail && window.misoRan.push(type(e.detail.node ?? e.detail)));
  misoOn('execution_cached', e => window.misoCached.push(...e.detail.nodes.map(type))); }"""
# where the playhead of a row is, beyond a place: a column all of the mark's colour; 0 if nowhere
PLAYHEAD = """([row, beyond]) => {
  const canvas = document.querySelectorAll('.miso-take canvas')[row], { width, height } = canvas;
  const mark = getComputedStyle(canvas).getPropertyValue('--miso-mark').trim(), parts = [1, 3, 5].map(i => parseInt(mark.slice(i, i + 2), 16));
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  for (let x = beyond; x < width; x++)
    if ([0, height - 1].every(y => parts.every((part, i) => Math.abs(data[4 * (y * width + x) + i] - part) < 12))) return x;
  return 0; }"""
SIZE = "() => app.graph.serialize().nodes.find(n => n.type === 'MisoTakePicker').size[1]"
SETTLED = f"async () => {{ const a = ({SIZE})(); await new Promise(requestAnimationFrame); return a === ({SIZE})(); }}"
SCROLLS = "() => { const list = document.querySelector('.miso-takes'); return list.scrollHeight > list.clientHeight; }"


@pytest.fixture
def picker(browser_page):
    browser_page.load_tiny(ROOT / "workflows" / "text_to_speech.json")
    browser_page.page.evaluate(BUILD, 11)
    browser_page.page.evaluate(COLLECT)
    return browser_page


def chosen(page):
    return page.page.evaluate(
        "() => app.graph.nodes.find(n => n.type === 'MisoTakePicker').widgets.find(w => w.name === "
        "'chosen').value"
    )


def test_choosing_runs_only_what_follows_and_is_saved(picker):
    page = picker.page
    page.wait_for_function(SETTLED)
    height = page.evaluate(SIZE)
    assert picker.run()[0] == "execution_success"
    boxes = page.locator(".miso-take input[type=checkbox]")
    page.wait_for_function("() => document.querySelectorAll('.miso-take').length === 3")
    assert chosen(picker) == "0" and [boxes.nth(i).is_checked() for i in range(3)] == [True, False, False]
    assert "2.40 s · time limit · likelihood -" in page.locator(".miso-take").nth(2).inner_text()
    assert "seed 13" in page.locator(".miso-take").nth(2).inner_text()
    assert "higher is likelier" in page.locator(".miso-note").inner_text()
    assert not page.evaluate(SCROLLS), "three rows fit"
    assert page.evaluate(SIZE) == height  # rows are no edit, or the page's undo would never get past them

    boxes.nth(2).focus()  # as with the keyboard
    page.keyboard.press("Space")
    assert chosen(picker) == "0,2"
    assert picker.run()[0] == "execution_success"
    assert set(page.evaluate("() => window.misoRan")) == {
        "MisoTakePicker",
        "MisoVocoderDecode",
        "SaveAudio",
        "MisoSaveCodes",
    }
    assert "MisoBackboneSampler" in page.evaluate("() => window.misoCached")

    page.locator(".miso-take canvas").nth(1).click()  # this one alone
    assert chosen(picker) == "1"
    page.get_by_label("Take 2", exact=True).click()  # the last one can't be unchecked
    assert chosen(picker) == "1"

    saved = json.loads(page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    picker.reload()
    picker.load(saved)
    assert chosen(picker) == "1"
    page.evaluate(COLLECT)
    assert picker.run()[0] == "execution_success"
    assert "MisoBackboneSampler" not in page.evaluate("() => window.misoRan")
    page.wait_for_function("() => document.querySelectorAll('.miso-take').length === 3")
    assert page.locator(".miso-take input").nth(1).is_checked()
    assert not picker.errors


def test_takes_can_be_heard(picker):
    assert picker.run()[0] == "execution_success"
    page = picker.page
    picker.listen()
    play = page.get_by_role("button", name="Play take 2")
    play.click()
    page.wait_for_function("() => window.misoHeard.length === 1")
    assert page.evaluate("() => window.misoHeard[0].length") == 30 * 1920
    assert play.get_attribute("aria-pressed") == "true"
    page.wait_for_function(PLAYHEAD, arg=[1, 0])
    place = page.evaluate(PLAYHEAD, [1, 0])
    page.wait_for_function(PLAYHEAD, arg=[1, place + 5])  # it moves on
    page.wait_for_function(
        "() => document.querySelectorAll('.miso-take button[aria-pressed=true]').length === 0"
    )  # 2.4 s later
    page.wait_for_function(f"row => !({PLAYHEAD})(row)", arg=[1, 0])
    assert not picker.errors


def test_a_take_that_is_not_there_is_explained(picker):
    assert picker.run()[0] == "execution_success"
    picker.page.evaluate(
        "() => { app.graph.nodes.find(n => n.type === 'MisoTakePicker').widgets.find(w => w.name === "
        "'chosen').value = '5' }"
    )
    end, detail = picker.run()
    assert (
        end == "execution_error"
        and "Take Picker, chosen" in detail["exception_message"]
        and "There is no take 6; there are 3." in detail["exception_message"]
    )
    assert "There is no take 6 any more; there are 3." in picker.page.locator(".miso-note").inner_text()


def test_shown_in_vue_nodes(picker):
    picker.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    try:
        picker.page.wait_for_selector("[data-node-id]")
        assert picker.run()[0] == "execution_success"
        picker.page.wait_for_function("() => document.querySelectorAll('.miso-take').length === 3")
        box, node = (
            picker.page.locator(at).first.bounding_box()
            for at in (".miso-take canvas", "[data-node-id]:has(.miso-take)")
        )
        assert 60 < box["width"] < node["width"] and box["height"] > 8
    finally:
        picker.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    assert not picker.errors
