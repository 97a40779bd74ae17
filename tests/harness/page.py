"""ComfyUI's page in a real browser: ready to use, graphs dropped on it, the Run button pressed."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError

from miso.tools.bootstrap.comfyui import PACK

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing but the server is reached
]
# acting while the start-up mask is up leaves the page stuck
STATE = """() => ({graph: !!window.app?.graph, workflow: !!window.app?.extensionManager?.workflow?.activeWorkflow,
  unmasked: !document.querySelector('.p-blockui-mask'),
  blocks: Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 100})"""
READY = f"() => Object.values(({STATE})()).every(Boolean)"
DROP = """({name, mime, bytes}) => {
  const data = new DataTransfer(), canvas = document.querySelector('#graph-canvas');
  data.items.add(new File([Uint8Array.from(atob(bytes), c => c.charCodeAt(0))], name, {type: mime}));
  const options = {bubbles: true, cancelable: true, dataTransfer: data, clientX: 700, clientY: 500};
  for (const kind of ['dragenter', 'dragover', 'drop']) canvas.dispatchEvent(new DragEvent(kind, options)); }"""
# newer pages show a mask while they open a file, and are stuck with it if another is dropped before it is gone
OPENED = """n => app.graph.nodes.length === n && app.graph.nodes[0] !== window.misoTestFirst && !document.querySelector('.p-blockui-mask')"""
ARM = """() => { window.misoTestEnd = new Promise(done => {
  for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
    misoOn(kind, e => done([kind, e.detail])); }) }"""
PREPARE = Path(__file__).with_name("prepare.js").read_text(encoding="utf-8")
TINY = """() => {
  const files = {MisoLoadModel: 'tiny.safetensors', MisoLoadVocoder: 'tiny-codec.safetensors'};
  const set = (node, name, value) => { node.widgets.find(w => w.name === name).value = value; };
  for (const node of app.graph.nodes) {
    if (files[node.type]) set(node, 'checkpoint', files[node.type]);
    if (node.type === 'MisoBackboneSampler') set(node, 'max_seconds', 1.6);
  } }"""
MIMES = {
    ".json": "application/json",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".safetensors": "application/octet-stream",
    ".png": "image/png",
}


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Page:
    """``page`` is Playwright's own, for everything that has no shorthand here."""

    def __init__(self, page: Any, url: str, query: str = ""):
        self.page, self.errors = page, []  # errors: those that come from this pack's scripts
        self._console: list[str] = []
        page.on("console", lambda m: self._console.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self._note(e.message, e.stack or ""))
        page.on("console", lambda m: m.type == "error" and self._note(m.text, m.location.get("url", "")))
        page.goto(f"{url}/extensions/{PACK}/miso.css")
        page.evaluate("() => localStorage.clear()")  # the graph of an earlier page
        page.goto(url + query)
        self._wait_until_ready()

    def reload(self) -> None:
        """Load the page again, until it has also put back the workflow that was open."""
        self.page.reload()
        self._wait_until_ready()

    def reset(self) -> None:
        """Make the page, for less than the seconds that a new one takes, as it was when it became ready."""
        self.page.unroute_all()
        self.page.keyboard.press("Escape")  # ComfyUI's own messages
        self.page.mouse.move(0, 0)
        self.page.evaluate("() => window.misoReset()")
        self.page.evaluate(PREPARE)
        self.errors.clear()

    def listen(self) -> None:
        """Note from now on in ``misoHeard`` what is played."""
        self.page.evaluate("() => window.misoListen()")

    def drop(self, path: Path, nodes: int | None = None) -> None:
        """Drop a file on the canvas; with ``nodes``, wait until the graph is another one and has that many."""
        self.page.evaluate("() => { window.misoTestFirst = app.graph.nodes[0] }")
        content = base64.b64encode(path.read_bytes()).decode()
        self.page.evaluate(DROP, {"name": path.name, "mime": MIMES[path.suffix], "bytes": content})
        if nodes is not None:
            self.page.wait_for_function(OPENED, arg=nodes)

    def load(self, workflow: dict | Path) -> None:
        """Load a workflow without dropping it."""
        if isinstance(workflow, Path):
            workflow = json.loads(workflow.read_text(encoding="utf-8"))
        self.page.evaluate("w => app.loadGraphData(w)", workflow)
        self.page.wait_for_function("n => app.graph.nodes.length === n", arg=len(workflow["nodes"]))

    def load_tiny(self, workflow: dict | Path) -> None:
        """Load a workflow with the model of make_tiny.py in its loaders, for whom a time limit (here 1.6 s) is a
        length: a take ends by itself at a frame of 8 zeros, and random weights drew none with more than 3 in
        51,200 frames.
        """
        self.load(workflow)
        self.page.evaluate(TINY)

    def prompt(self, object_info: dict) -> dict:
        """The prompt that the page would queue, less what it adds to inputs for its own use (players, upload
        buttons)."""
        prompt = self.page.evaluate("async () => (await app.graphToPrompt()).output")
        for node in prompt.values():
            node.pop("_meta")
            declared = [name for kind in object_info[node["class_type"]]["input"].values() for name in kind]
            node["inputs"] = {name: value for name, value in node["inputs"].items() if name in declared}
        return prompt

    def run(self) -> tuple[str, dict]:
        """Press Run; the end event and its detail."""
        self.page.evaluate(ARM)
        button = self.page.get_by_test_id("queue-button").or_(
            self.page.get_by_role("button", name="Run", exact=True)
        )
        button.first.click()
        return tuple(self.page.evaluate("() => window.misoTestEnd"))

    def _wait_until_ready(self) -> None:
        try:
            self.page.wait_for_function(READY, timeout=90_000)  # 5 s on an idle machine
        except TimeoutError as e:
            state = f"the page did not become ready: {self.page.evaluate(STATE)}"
            raise AssertionError("\n".join([state, *self._console])) from e
        self.page.evaluate(PREPARE)

    def _note(self, message: str, origin: str) -> None:
        if f"/extensions/{PACK}/" in origin:
            self.errors.append(message)
