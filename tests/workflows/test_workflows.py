"""Each shipped workflow opens in view, runs as it is, and so does the graph inside the files it saves."""

import json

import pytest
import torch

from miso.audio.files import write_audio
from miso.tools.bootstrap import ROOT

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
# the corners of everything on the canvas, in pixels of the page, and which nodes overlap
VIEW = """() => {
  const { scale, offset } = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
  const place = (x, y) => [box.x + (x + offset[0]) * scale, box.y + (y + offset[1]) * scale];
  const all = [...app.graph.groups, ...app.graph.nodes];
  const corners = all.flatMap(({pos: [x, y], size: [w, h]}) => [place(x, y), place(x + w, y + h)]);
  const rect = n => [n.pos[0], n.pos[1] - 30, n.pos[0] + n.size[0], n.pos[1] + n.size[1]], overlaps = [];
  for (const a of app.graph.nodes) for (const b of app.graph.nodes) {
    const [l, t, r, d] = rect(a), [L, T, R, D] = rect(b);
    if (a.id < b.id && l < R && L < r && t < D && T < d) overlaps.push([a.title, b.title]);
  }
  return {scale, left: Math.min(...corners.map(c => c[0])), top: Math.min(...corners.map(c => c[1])),
    right: Math.max(...corners.map(c => c[0])), bottom: Math.max(...corners.map(c => c[1])), overlaps}; }"""
SIDE_BAR, RUN_BAR = 55, 130  # pixels that the page covers at the left and at the top
READABLE = 0.58  # below, the page leaves out the words of blocks


@pytest.fixture(scope="session", autouse=True)
def recording(server, recogniser):
    """What a user would have: for ``takes`` a recogniser, for ``own_voice`` a second of a tone with pauses."""
    time = torch.arange(24_000) / 24_000
    write_audio(
        server.base / "input" / "recording.flac", 0.3 * (1300 * time).sin() * (20 * time).sin(), 24_000
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_is_complete(path):
    workflow = json.loads(path.read_text())
    assert path.with_suffix(".jpg").is_file()
    assert workflow["groups"] and workflow["extra"]["ds"]["scale"] >= READABLE
    notes = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    assert len(notes) == 1 and "Run" in notes[0]["widgets_values"][0]
    decoders = [node.get("title") for node in workflow["nodes"] if node["type"] == "MisoVocoderDecode"]
    assert len(set(decoders)) == len(decoders)  # one can be told from another


# one of each kind; the others are built of the same blocks
MARKS = {"text_to_speech": [pytest.mark.host], "own_voice": [], "edit_codes": []}
RUN = [pytest.param(path, marks=MARKS.get(path.stem, [pytest.mark.slow])) for path in WORKFLOWS]


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_it_opens_in_view_and_runs(browser_page, server, path):
    """In a laptop's window and a large one; and after the run, which makes some blocks grow."""
    page, nodes = browser_page.page, json.loads(path.read_text())["nodes"]
    for width, height in ((1366, 768), (1600, 1000)):
        page.set_viewport_size({"width": width, "height": height})
        browser_page.drop(path, nodes=len(nodes))
        page.wait_for_function(
            "scale => Math.abs(app.canvas.ds.scale - scale) < 1e-3",
            arg=json.loads(path.read_text())["extra"]["ds"]["scale"],
        )
        view = page.evaluate(VIEW)
        assert view["left"] >= SIDE_BAR and view["top"] >= RUN_BAR, view
        assert view["right"] <= width and view["bottom"] <= height and not view["overlaps"], view
    page.evaluate("""() => { window.misoSaved = [];
      misoOn('executed', e => window.misoSaved.push(...(e.detail.output.audio ?? []))) }""")
    end, detail = browser_page.run()
    assert end == "execution_success", detail
    assert not browser_page.errors and not page.evaluate(VIEW)["overlaps"]
    saved = [file for file in page.evaluate("() => window.misoSaved") if file["type"] == "output"]
    # a file for each Save Audio; and one more of Speaker Tracks' two tracks, three of Batch Lines' four lines
    more = {"SaveAudio": 1, "MisoSpeakerTracks": 1, "MisoBatchLines": 3}
    assert len(saved) == sum(more.get(node["type"], 0) for node in nodes)
    browser_page.drop(server.file(saved[0]), nodes=len(nodes))  # the sound carries the graph that made it


def test_saved_codes_restore_the_graph(browser_page, server):
    path = ROOT / "workflows" / "text_to_speech.json"
    nodes = json.loads(path.read_text())["nodes"]
    browser_page.load(path)
    browser_page.run()
    newest = max((server.base / "output" / "codes").glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
    browser_page.page.evaluate("() => app.graph.clear()")
    browser_page.drop(newest, nodes=len(nodes))
