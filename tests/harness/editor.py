"""The Code Editor in the page, as one works with it."""

import json

from miso.codes.codes import Codes
from miso.tools.bootstrap import ROOT

# the sampler's codes go through the editor to Vocoder Decode and Save Codes; without words, to which drags snap
BUILD = """([seed, takes, seconds]) => {
  const of = type => app.graph.nodes.find(n => n.type === type);
  const join = (from, slot, to, input) => of(from).connect(slot, to, to.inputs.findIndex(i => i.name === input));
  const sampler = of('MisoBackboneSampler'), editor = LiteGraph.createNode('MisoCodeEditor');
  app.graph.add(editor);
  for (const [name, value] of Object.entries({seed, takes, max_seconds: seconds, words: false})) sampler.widgets.find(w => w.name === name).value = value;
  editor.pos = [sampler.pos[0], sampler.pos[1] + 560];
  join('MisoBackboneSampler', 0, editor, 'codes');
  join('MisoLoadVocoder', 0, editor, 'vocoder');
  join('MisoCodeEditor', 0, of('MisoVocoderDecode'), 'codes');
  join('MisoCodeEditor', 0, of('MisoSaveCodes'), 'codes');
}"""
LOOK = """() => { const n = app.graph.nodes.find(n => n.type === 'MisoCodeEditor');
  app.canvas.ds.scale = 1; app.canvas.ds.offset = [-n.pos[0] + 300, -n.pos[1] + 250]; app.canvas.draw(true, true); }"""
COLLECT = """() => { window.misoRan = []; window.misoSaved = [];
  const type = id => app.graph.getNodeById(Number(id))?.type;
  misoOn('execution_start', () => { window.misoRan = []; window.misoSaved = []; });
  misoOn('executing', e => e.detail && window.misoRan.push(type(e.detail.node ?? e.detail)));
  misoOn('executed', e => window.misoSaved.push(...(e.detail.output?.codes ?? []))); }"""


class Hands:
    """The editor as one works with it."""

    def __init__(self, browser_page, server):
        self.browser, self.page, self.server = browser_page, browser_page.page, server
        self.timeline = self.page.locator("canvas.miso-timeline").first

    def run(self) -> Codes:
        """Run the graph; what Save Codes wrote."""
        end, detail = self.browser.run()
        assert end == "execution_success", detail
        self.page.wait_for_function("() => window.misoSaved.length > 0")
        self.page.wait_for_function(
            "() => / of [0-9]+ /.test(document.querySelector('.miso-editor [role=status]').textContent)"
        )
        self.page.evaluate(LOOK)
        return Codes.load(self.server.file(self.page.evaluate("() => window.misoSaved[0]")))

    @property
    def value(self) -> list[dict]:
        """The widget's: what is saved in the workflow."""
        return json.loads(
            self.page.evaluate(
                "() => app.graph.nodes.find(n => n.type === 'MisoCodeEditor').widgets.find(w => w.name === "
                "'edits').value"
            )
        )

    @property
    def edits(self) -> list[dict]:
        """The operations, without the note of what they were made for."""
        return [edit for edit in self.value if edit["op"] != "made_for"]

    @property
    def notice(self):
        return self.page.locator(".miso-editor [role=alert]")

    def button(self, name: str):
        return self.page.locator(".miso-editor").get_by_role("button", name=name)

    def set_sampler(self, **values) -> None:
        self.page.evaluate(
            """values => { const {widgets} = app.graph.nodes.find(n => n.type === 'MisoBackboneSampler');
            for (const [name, value] of Object.entries(values)) widgets.find(w => w.name === name).value = value; }""",
            values,
        )

    @property
    def status(self) -> str:
        return self.page.locator(".miso-editor [role=status]").inner_text()

    def drag(self, start: float, end: float) -> None:
        """Over these parts of the timeline's width."""
        box = self.timeline.bounding_box()
        y = box["y"] + box["height"] * 0.6
        self.page.mouse.move(box["x"] + box["width"] * start, y)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
        self.page.mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)


def prepare(browser_page, server, takes=1, seconds=4.0) -> Hands:
    browser_page.load_tiny(ROOT / "workflows" / "text_to_speech.json")
    browser_page.page.evaluate(BUILD, [21, takes, seconds])
    browser_page.page.evaluate(COLLECT)
    hands = Hands(browser_page, server)
    # drags are to end where they end; without a click, which would select the node
    hands.page.get_by_label("Snap").evaluate("e => { e.checked = false }")
    browser_page.page.evaluate(LOOK)
    return hands


def decoded(page) -> None:
    """Wait until the editor has the sound."""
    page.wait_for_function(
        "() => !document.querySelector('.miso-editor button[aria-keyshortcuts=Space]').disabled"
    )
