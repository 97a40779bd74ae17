"""The panel of turns: another attempt at one, a lock, what a run then samples, what is saved and heard."""

import json

import pytest
from harness.access import check

from miso.tools.bootstrap import ROOT

SCRIPT = "Anna: This is one.\nBen: This is two.\nAnna: This is three.\nBen: This is four."
# the model and the codec of text_to_speech, with a dialogue in place of text and sampler
BUILD = """([script, seed]) => {
  const of = type => app.graph.nodes.find(n => n.type === type), set = (node, values) => {
    for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value; };
  for (const type of ['MisoEncodeText', 'MisoBackboneSampler', 'MisoSaveCodes']) of(type) && app.graph.remove(of(type));
  const dialogue = LiteGraph.createNode('MisoDialogue'), model = of('MisoLoadModel'), vocoder = of('MisoLoadVocoder'), decode = of('MisoVocoderDecode');
  app.graph.add(dialogue);
  dialogue.pos = [model.pos[0] + 400, model.pos[1]];
  dialogue.size = [420, dialogue.computeSize()[1]];
  const join = (from, name, to, input) => from.connect(from.outputs.findIndex(o => o.name === name), to, to.inputs.findIndex(i => i.name === input));
  join(model, 'backbone', dialogue, 'backbone');
  join(model, 'depth', dialogue, 'depth');
  join(model, 'text', dialogue, 'text_encoder');
  join(vocoder, 'vocoder', dialogue, 'preview');
  join(dialogue, 'codes', decode, 'codes');
  set(dialogue, {script, seed, control_after_generate: 'fixed', max_seconds: 0.4});
  decode.pos = [dialogue.pos[0] + 520, dialogue.pos[1]];
  app.canvas.ds.scale = 1; app.canvas.ds.offset = [-dialogue.pos[0] + 400, -dialogue.pos[1] + 120]; app.canvas.draw(true, true); }"""
COLLECT = """() => misoOn('executed', e => {
  if (e.detail.output?.miso_turns) window.misoTurns = e.detail.output.miso_turns; })"""
WIDGET = """name => app.graph.nodes.find(n => n.type === 'MisoDialogue').widgets.find(w => w.name === name).value"""
SET = """([name, value]) => { app.graph.nodes.find(n => n.type === 'MisoDialogue').widgets.find(w => w.name === name).value = value }"""


class Panel:
    """The panel of a dialogue of four turns."""

    def __init__(self, browser_page):
        self.browser_page, self.page = browser_page, browser_page.page
        self.root = self.page.get_by_role("group", name="Turns", exact=True)

    def run(self) -> list[dict]:
        """Run; the turns that the block says it made."""
        self.page.evaluate("() => { window.misoTurns = null }")
        end, detail = self.browser_page.run()
        assert end == "execution_success", detail
        return self.page.evaluate("() => window.misoTurns")

    def press(self, name: str) -> None:
        """As with the keyboard."""
        self.root.get_by_role("button", name=name).focus()
        self.page.keyboard.press("Enter")

    def about(self, row: int) -> str:
        return self.root.locator(".miso-turn").nth(row).inner_text()

    @property
    def status(self) -> str:
        return self.root.get_by_role("status").inner_text()

    def choices(self) -> list[dict]:
        return json.loads(self.page.evaluate(WIDGET, "choices"))


@pytest.fixture
def panel(browser_page):
    browser_page.load_tiny(ROOT / "workflows" / "text_to_speech.json")
    browser_page.page.evaluate(BUILD, [SCRIPT, 3])
    browser_page.page.evaluate(COLLECT)
    yield Panel(browser_page)
    assert not browser_page.errors


def kept(turns: list[dict]) -> list[bool]:
    return [turn["kept"] for turn in turns]


def test_another_attempt_samples_that_turn_and_those_that_hear_it(panel):
    assert panel.status == "Run to see the turns"
    first = panel.run()
    assert kept(first) == [False] * 4 and "Ben: This is two." in panel.about(1)
    assert "0.40 s · sampled · cut at the time limit" in panel.about(1)
    assert panel.page.evaluate(WIDGET, "choices") == "[]"

    panel.page.evaluate(SET, ["seed", 12345])  # as the page does after a run, unless the seed is fixed
    panel.page.evaluate(SET, ["control_after_generate", "randomize"])
    panel.press("Say turn 2 anew")
    assert panel.choices() == [{"text": "This is two.", "speaker": 1, "nth": 0, "attempt": 1}]
    assert "attempt 2 when you run" in panel.about(1)
    assert panel.status == "4 turns · 1 changed: press Run · the seed is fixed, so that other turns stay"
    assert panel.page.evaluate(WIDGET, "seed") == 3
    second = panel.run()
    assert kept(second) == [True, False, False, False]
    assert [a["codes"] == b["codes"] for a, b in zip(first, second)] == [True, False, False, False]

    panel.press("Lock turn 3")
    panel.press("Lock turn 4")
    panel.press("Say turn 2 anew")
    assert panel.root.get_by_role("button", name="Say turn 3 anew").is_disabled()
    assert kept(third := panel.run()) == [True, False, True, True]
    assert [turn["locked"] for turn in third] == [False, False, True, True]
    panel.press("Back to the attempt before at turn 2")
    assert kept(fourth := panel.run()) == [True] * 4 and fourth[1]["codes"] == second[1]["codes"]


def test_a_lock_outlives_a_change_before_it_a_reload_and_an_inserted_line(panel):
    first = panel.run()
    panel.press("Lock turn 3")
    assert panel.root.get_by_role("button", name="Unlock turn 3").get_attribute("aria-pressed") == "true"
    panel.page.evaluate(SET, ["script", f"Anna: Before all.\n{SCRIPT.replace('two', 'another')}"])
    second = panel.run()
    assert kept(second) == [False, False, False, True, False]
    assert second[3]["codes"] == first[2]["codes"] and "kept" in panel.about(3)
    assert "1 locked" in panel.status

    saved = json.loads(panel.page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    panel.browser_page.reload()
    panel.browser_page.load(saved)
    panel.page.wait_for_function("() => document.querySelectorAll('.miso-turn').length === 5")
    assert panel.choices() == [
        {"text": "This is three.", "speaker": 0, "nth": 0, "locked": first[2]["codes"]}
    ]
    assert panel.root.get_by_role("button", name="Unlock turn 4").is_enabled()
    assert panel.root.get_by_role("button", name="Play turn 4").is_enabled()
    panel.page.evaluate(COLLECT)
    panel.press("Clear all choices")
    assert panel.choices() == [] and kept(panel.run())[:3] == [True] * 3


def test_turns_are_heard_one_by_one(panel):
    panel.run()
    panel.browser_page.listen()
    panel.press("Play turn 2")
    panel.page.wait_for_function("() => window.misoHeard.length === 1")
    assert panel.page.evaluate("() => window.misoHeard[0].length") == 5 * 1920
    panel.page.wait_for_function(
        "() => !document.querySelector('.miso-turn [aria-label^=Play][aria-pressed=true]')"
    )
    check(panel.page, panel.root, 4 * 3)

    panel.page.evaluate("""() => { const n = app.graph.nodes.find(n => n.type === 'MisoDialogue');
      n.disconnectInput(n.inputs.findIndex(i => i.name === 'preview')); }""")
    panel.run()
    assert panel.status == "4 turns · connect a vocoder to preview to hear them"
    assert panel.root.get_by_role("button", name="Play turn 2").is_disabled()


def test_shown_in_vue_nodes(panel):
    panel.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    try:
        panel.page.wait_for_selector("[data-node-id]")
        first = panel.run()
        panel.press("Say turn 4 anew")
        panel.press("Lock turn 1")
        assert [choice["text"] for choice in panel.choices()] == ["This is four.", "This is one."]
        assert kept(panel.run()) == [True, True, True, False] and first[0]["codes"] in str(panel.choices())
        row, node = (
            panel.page.locator(at).first.bounding_box()
            for at in (".miso-turn", "[data-node-id]:has(.miso-turn)")
        )
        assert 200 < row["width"] < node["width"] and row["height"] > 20
    finally:
        panel.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_long_text_shows_parts(browser_page):
    browser_page.load_tiny(ROOT / "workflows" / "long_text.json")
    root = browser_page.page.get_by_role("group", name="Parts", exact=True)
    assert root.get_by_role("status").inner_text() == "Run to see the parts"
    assert browser_page.page.get_by_role("group", name="Turns", exact=True).count() == 0
