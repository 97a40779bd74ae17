"""Makes workflows/*.json, their pictures and those of the help pages in ComfyUI's own page:

``python tests/make_workflows.py`` in the test environment.

A workflow is written here as blocks in columns; the page builds, connects and serialises it, so that what is
shipped is what it reads.
"""

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from harness.page import ARGUMENTS, Page, find_browser  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from miso.tools.bootstrap import HOME  # noqa: E402
from miso.tools.bootstrap.comfyui import make_base  # noqa: E402
from miso.tools.bootstrap.server import Server  # noqa: E402

# name: (column, type, widgets, {input: "name.output"}[, title])
MODEL = {
    "model": (0, "MisoLoadModel", {"checkpoint": "nano.safetensors"}, {}),
    "vocoder": (0, "MisoLoadVocoder", {"checkpoint": "nano-vocoder.safetensors"}, {}),
}
PARTS = {"backbone": "model.backbone", "depth": "model.depth"}
DRAWN = {"temperature": 0.25, "top_k": 50}  # nano's own


def text(column: int, line: str, **widgets) -> tuple:
    return (column, "MisoEncodeText", {"text": line, **widgets}, {"text_encoder": "model.text"})


def sampler(column: int, conditioning: str, seed: int = 1, **links) -> tuple:
    return (
        column,
        "MisoBackboneSampler",
        {"seed": seed, "max_seconds": 10.0, **DRAWN},
        {**PARTS, "conditioning": conditioning, **links},
    )


def decode(column: int, codes: str, vocoder: str = "vocoder") -> tuple:
    return (column, "MisoVocoderDecode", {}, {"codes": codes, "vocoder": f"{vocoder}.vocoder"})


def save(column: int, audio: str, prefix: str) -> tuple:
    return (column, "SaveAudio", {"filename_prefix": f"audio/{prefix}"}, {"audio": audio})


def note(column: int, words: str) -> tuple:
    return (column, "Note", {"text": words, "": words}, {})


WORKFLOWS = {
    "text_to_speech": {
        **MODEL,
        "text": text(1, "Hello there. Every word you hear was first a handful of codes."),
        "sampler": sampler(2, "text.conditioning", preview="vocoder.vocoder"),
        "decode": decode(3, "sampler.codes"),
        "save": save(4, "decode.audio", "miso"),
        "codes": (3, "MisoSaveCodes", {}, {"codes": "sampler.codes"}),
    },
    "voice_prompt": {
        **MODEL,
        "note": note(
            0,
            "The voice is that of a line sampled first. For a voice of your own put Load Audio -> Encode "
            "Audio (with its "
            "transcript, and a Load Vocoder that has nano-codec, which can encode) in the place of the first "
            "sampler, and connect "
            "its codes to Voice Prompt.",
        ),
        "first line": text(1, "This is how I sound when I am at ease."),
        "first": sampler(2, "first line.conditioning"),
        "line": text(1, "And this is something else, said in the same voice."),
        "voice": (3, "MisoVoicePrompt", {}, {"conditioning": "line.conditioning", "codes": "first.codes"}),
        "second": sampler(4, "voice.conditioning", 2),
        "decode": decode(5, "second.codes"),
        "save": save(6, "decode.audio", "voice_prompt"),
    },
    "edit_codes": {
        **MODEL,
        "note": note(
            0,
            "Run, pick a take, edit it, run again: nothing is sampled anew. Resample from here in the "
            "editor, connect its prefix to "
            "a sampler's prefix input, and the rest is said again.",
        ),
        "text": text(1, "Pick the take you like, then cut, move and repeat it as you please."),
        "sampler": (
            2,
            "MisoBackboneSampler",
            {"seed": 1, "takes": 3, "max_seconds": 4.0, **DRAWN},
            {**PARTS, "conditioning": "text.conditioning", "preview": "vocoder.vocoder"},
        ),
        "picker": (3, "MisoTakePicker", {}, {"codes": "sampler.codes", "vocoder": "vocoder.vocoder"}),
        "editor": (4, "MisoCodeEditor", {}, {"codes": "picker.codes", "vocoder": "vocoder.vocoder"}),
        "decode": decode(5, "editor.codes"),
        "save": save(5, "decode.audio", "edited"),
    },
    "swap_vocoder": {
        **MODEL,
        "codec": (0, "MisoLoadVocoder", {"checkpoint": "nano-codec.safetensors"}, {}),
        "note": note(
            0,
            "Run once, then change the backend or the checkpoint of a Load Vocoder, or the number of "
            "codebooks, and run again: nothing "
            "is sampled again.",
        ),
        "text": text(1, "The same codes, through one vocoder and another."),
        "sampler": sampler(2, "text.conditioning"),
        "decode": decode(3, "sampler.codes"),
        "decode otherwise": decode(3, "sampler.codes", "codec"),
        "keep": (3, "MisoKeepCodebooks", {"count": 4}, {"codes": "sampler.codes"}),
        "coarse": decode(4, "keep.codes"),
        "save": save(5, "decode.audio", "vocoder"),
        "save otherwise": save(5, "decode otherwise.audio", "codec"),
        "save coarse": save(5, "coarse.audio", "four_codebooks"),
    },
    "redecode_depth": {
        **MODEL,
        "text": text(1, "The words stay, the grain of the sound is drawn again."),
        "sampler": sampler(2, "text.conditioning"),
        "redecode": (
            3,
            "MisoDepthRedecode",
            {"seed": 100, **DRAWN},
            {"depth": "model.depth", "hidden": "sampler.hidden", "codes": "sampler.codes"},
        ),
        "decode": decode(3, "sampler.codes"),
        "decode again": decode(4, "redecode.codes"),
        "save": save(5, "decode.audio", "as_sampled"),
        "save again": save(5, "decode again.audio", "redecoded"),
    },
}

BUILD = """blocks => {
  app.graph.clear();
  const made = {}, columns = [];
  for (const [name, [column, type, widgets]] of Object.entries(blocks)) {
    const node = made[name] = LiteGraph.createNode(type);
    app.graph.add(node);
    for (const w of node.widgets ?? []) {
      if (w.name in widgets) w.value = widgets[w.name];
      if (w.name === 'control_after_generate') w.value = 'fixed';
    }
    const size = node.computeSize();
    const wide = {MisoCodeEditor: 540, MisoTakePicker: 400}[type] ?? 270;
    node.size = [Math.max(size[0], wide), size[1] + (type === 'MisoEncodeText' || type === 'Note' ? 60 : 0)];
    (columns[column] ??= []).push(node);
  }
  let x = 40;
  for (const column of columns) {
    let y = 80;
    for (const node of column) { node.pos = [x, y]; y += node.size[1] + 70; }
    x += Math.max(...column.map(n => n.size[0])) + 60;
  }
  for (const [name, [, , , links]] of Object.entries(blocks))
    for (const [input, source] of Object.entries(links)) {
      const [from, output] = source.split('.'), a = made[from], b = made[name];
      const slots = [a.outputs.findIndex(o => o.name === output), b.inputs.findIndex(i => i.name === input)];
      if (slots.includes(-1) || !a.connect(slots[0], b, slots[1])) throw new Error(`${source} -> ${name}.${input}`);
    }
  const graph = app.graph.serialize();
  graph.id = '00000000-0000-0000-0000-000000000000';
  return JSON.stringify(graph);
}"""
# the graph alone, fitted below the page's own buttons
FIT = """() => {
  const boxes = app.graph.nodes.map(n => [n.pos[0], n.pos[1] - 34, n.pos[0] + n.size[0], n.pos[1] + n.size[1]]);
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
PICTURES = {"MisoBackboneSampler": "live", "MisoTakePicker": "picker", "MisoCodeEditor": "editor"}
THEME = "theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)"  # kept by the server, for all pages


def picture(page: Page, clip: dict, path: Path) -> None:
    page.page.wait_for_timeout(500)  # the canvas draws its text a moment later
    page.page.screenshot(path=str(path), clip=clip, type="jpeg", quality=80)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder) / "base")
        log = Path(folder) / "log"
        with (
            Server(Path(sys.executable), HOME / "ComfyUI", base, log, "--cpu") as server,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
            for name, blocks in WORKFLOWS.items():
                page = Page(browser.new_page(viewport={"width": 1600, "height": 1000}), server.url)
                graph = json.loads(page.page.evaluate(BUILD, blocks))
                target = ROOT / "workflows" / f"{name}.json"
                target.write_text(json.dumps(graph, indent=1) + "\n", encoding="utf-8")
                page.load(target)
                assert page.run()[0] == "execution_success"
                picture(page, page.page.evaluate(FIT), target.with_suffix(".jpg"))
                if name == "edit_codes":
                    for node, shown in PICTURES.items():
                        picture(
                            page,
                            page.page.evaluate(CLOSE, node),
                            ROOT / "web" / "docs" / node / f"{shown}.jpg",
                        )
                    page.page.evaluate(THEME, "light")
                    picture(
                        page,
                        page.page.evaluate(CLOSE, "MisoCodeEditor"),
                        ROOT / "web" / "docs" / "MisoCodeEditor" / "light.jpg",
                    )
                    page.page.evaluate(THEME, "dark")
                page.page.close()
                print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
