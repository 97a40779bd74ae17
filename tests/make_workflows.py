"""Makes workflows/*.json, their pictures and those of the help pages in ComfyUI's own page.

In the test environment: ``python tests/make_workflows.py [NAME ...]``. The page builds, connects and
serialises each template, so that what is shipped is what it reads; the pictures are of runs that have
finished.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from harness.page import ARGUMENTS, Page, find_browser  # noqa: E402
from make_whisper import make_whisper  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from template_blocks import Template  # noqa: E402
from templates import TEMPLATES  # noqa: E402

from miso import Miso, Segment, load_vocoder, write_audio  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.tools.bootstrap import HOME  # noqa: E402
from miso.tools.bootstrap.comfyui import make_base  # noqa: E402
from miso.tools.bootstrap.server import Server  # noqa: E402

BUILD = """({blocks, note, rows, groups}) => {
  app.graph.clear();
  const made = {};
  blocks = {note: {type: 'MarkdownNote', widgets: {text: note, '': note}, links: {}, title: 'Start here'}, ...blocks};
  for (const [name, {type, widgets, title}] of Object.entries(blocks)) {
    const node = made[name] = LiteGraph.createNode(type);
    app.graph.add(node);
    // a name with search words (nodes/schema.py) is too long for a title
    if (title || type.startsWith('Miso')) node.title = title || node.title.replace(/ \\(.*/, '');
    for (const w of node.widgets ?? []) {
      if (w.name in widgets) w.value = widgets[w.name];
      if (w.name === 'control_after_generate') w.value = 'fixed';
    }
    const size = node.computeSize();
    const wide = {MisoCodeEditor: 620, MisoTakePicker: 420, MisoDialogue: 420, MisoLongText: 420, MisoBatchLines: 420, MisoBestTake: 380, PreviewAny: 380, MarkdownNote: 330, MisoEncodeText: 330, MisoEncodeAudio: 330}[type] ?? 270;
    const tall = {MisoEncodeText: 50, MisoReplaceWords: 70, MisoDialogue: 210, MisoLongText: 150, MisoBatchLines: 160, MarkdownNote: 80, SaveAudio: 20, LoadAudio: 20, MisoTakePicker: 90, MisoCompare: 160, PreviewAny: 160}[type] ?? 0;
    node.size = [Math.max(size[0], wide), size[1] + tall];
  }
  // some blocks grow by a line when they run, so those below them keep their distance
  const gap = node => (['MisoLoadModel', 'MisoEncodeAudio', 'MisoSaveCodes', 'MisoLoadVoice', 'MisoBestTake', 'MisoReplaceWords', 'MisoCodeEditor'].includes(node.type) ? 150 : 70);
  let top = 80;
  for (const columns of rows) {
    let x = 40, bottom = top;
    for (const names of columns) {
      let y = top, width = 0;
      for (const name of names.split(' ').filter(Boolean)) {
        const node = made[name];
        node.pos = [x, y];
        bottom = Math.max(bottom, y + node.size[1]);
        y += node.size[1] + gap(node);
        width = Math.max(width, node.size[0]);
      }
      x += (width || 300) + 80;
    }
    top = bottom + 130;
  }
  for (const [name, {links}] of Object.entries(blocks))
    for (const [input, source] of Object.entries(links)) {
      const [from, output] = source.split('.'), a = made[from], b = made[name];
      const slots = [a.outputs.findIndex(o => o.name === output), b.inputs.findIndex(i => i.name === input)];
      if (slots.includes(-1) || !a.connect(slots[0], b, slots[1])) throw new Error(`${source} -> ${name}.${input}`);
    }
  for (const [title, names] of Object.entries(groups)) {
    const group = new LiteGraph.LGraphGroup(title), inside = names.split(' ').map(name => made[name]);
    const edge = (i, most) => (most ? Math.max : Math.min)(...inside.map(n => n.pos[i] + (most ? n.size[i] : 0)));
    const below = Math.max(20, ...inside.map(n => ({MisoLoadModel: 60, MisoSaveCodes: 85, MisoLoadVoice: 85, MisoImportCodes: 70, MisoCompare: 140}[n.type] ?? 0)));
    group.pos = [edge(0) - 20, edge(1) - 80];
    group.size = [edge(0, true) - edge(0) + 40, edge(1, true) - edge(1) + 80 + below];
    app.graph.add(group);
  }
  const graph = app.graph.serialize(), box = app.graph.groups.map(g => [...g.pos, g.pos[0] + g.size[0], g.pos[1] + g.size[1]]);
  const [l, t, r, b] = [0, 1, 2, 3].map(i => Math[i < 2 ? 'min' : 'max'](...box.map(x => x[i])));
  // the whole graph beside the side bar and below the Run bar, in a laptop's window too
  const scale = Math.min(1270 / (r - l), 615 / (b - t), 1);
  graph.extra.ds = {scale, offset: [-l + 75 / scale, -t + 140 / scale]};
  graph.id = '00000000-0000-0000-0000-000000000000';
  return JSON.stringify(graph);
}"""
# the graph alone, fitted below the page's own buttons
FIT = """() => {
  const boxes = app.graph.groups.map(g => [g.pos[0], g.pos[1], g.pos[0] + g.size[0], g.pos[1] + g.size[1]]);
  const [l, t, r, b] = [0, 1, 2, 3].map(i => Math[i < 2 ? 'min' : 'max'](...boxes.map(x => x[i])));
  const scale = Math.min(1440 / (r - l), 800 / (b - t), 1.2);
  app.canvas.ds.scale = scale; app.canvas.ds.offset = [-l + 100 / scale, -t + 160 / scale];
  app.canvas.draw(true, true);
  return {x: 90, y: 150, width: (r - l) * scale + 20, height: (b - t) * scale + 20};
}"""

# one block, centred and as large as it gets
CLOSE = """type => {
  const node = app.graph.nodes.find(n => n.type === type), [w, h] = node.size, scale = Math.min(1100 / w, 700 / h, 1.6);
  app.canvas.ds.scale = scale; app.canvas.ds.offset = [-node.pos[0] + 200 / scale, -node.pos[1] + 200 / scale];
  app.canvas.draw(true, true);
  return {x: 190, y: 200 - 40 * scale, width: w * scale + 20, height: (h + 40) * scale + 10};
}"""
PICTURES = {  # of blocks for their help pages, by the workflow that they are in
    "edit_codes": {"MisoBackboneSampler": "live", "MisoTakePicker": "picker", "MisoCodeEditor": "editor"},
    "dialogue": {"MisoDialogue": "turns"},
}
THEME = "theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)"  # kept by the server, for all pages


# whether every player knows how long its sound is
PLAYERS = "() => [...document.querySelectorAll('audio[src]')].every(audio => audio.readyState)"

# hides what the page lays over the graph: the message of a finished run, the minimap
UNCOVER = """() => {
  for (const element of document.querySelectorAll('body *')) {
    const kept = element.querySelector('canvas#graph-canvas, .dom-widget') || element.closest('.dom-widget, #graph-canvas');
    if (!kept && ['absolute', 'fixed'].includes(getComputedStyle(element).position))
      element.style.setProperty('display', 'none', 'important');
  }
}"""


def picture(page: Page, clip: dict, path: Path) -> None:
    page.page.evaluate(UNCOVER)
    page.page.wait_for_timeout(500)  # the canvas draws its text a moment later
    page.page.screenshot(path=str(path), clip=clip, type="jpeg", quality=80)


def record(text: str, folder: Path) -> None:
    """A recording of nano's second voice, for the picture of a template that wants the user's own."""
    miso, vocoder = (
        Miso(BUNDLED / "nano.safetensors", device="cpu"),
        load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors"),
    )
    loop = miso.sample([Segment(text, 1)], seeds=[3])
    for _ in loop:
        pass
    write_audio(folder / "recording.flac", vocoder.decode(loop.codes.tensor)[0], vocoder.sample_rate)


def make(page: Page, name: str, template: Template) -> None:
    described = dataclasses.asdict(template)
    graph = json.loads(page.page.evaluate(BUILD, described))
    target = ROOT / "workflows" / f"{name}.json"
    target.write_text(json.dumps(graph, indent=1) + "\n", encoding="utf-8")
    page.load(target)
    end, detail = page.run()
    assert end == "execution_success", detail
    page.page.wait_for_function(PLAYERS)
    picture(page, page.page.evaluate(FIT), target.with_suffix(".jpg"))
    if name == "dialogue":
        for words in ("Lock turn 1", "Say turn 2 anew"):
            page.page.get_by_role("button", name=words).press("Enter")
    docs = ROOT / "web" / "docs"
    for node, shown in PICTURES.get(name, {}).items():
        picture(page, page.page.evaluate(CLOSE, node), docs / node / f"{shown}.jpg")
    if name == "edit_codes":
        page.page.evaluate(THEME, "light")
        picture(page, page.page.evaluate(CLOSE, "MisoCodeEditor"), docs / "MisoCodeEditor" / "light.jpg")
        page.page.evaluate(THEME, "dark")
    print(target.relative_to(ROOT))


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder) / "base")
        make_whisper(base / "models" / "miso_asr" / "whisper-tiny.en")
        for template in TEMPLATES.values():
            if template.recording:
                record(template.recording, base / "input")
        with (
            Server(Path(sys.executable), HOME / "ComfyUI", base, Path(folder) / "log", "--cpu") as server,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
            for name in names or TEMPLATES:
                page = Page(browser.new_page(viewport={"width": 1600, "height": 1000}), server.url)
                make(page, name, TEMPLATES[name])
                page.page.close()


if __name__ == "__main__":
    main(sys.argv[1:])
