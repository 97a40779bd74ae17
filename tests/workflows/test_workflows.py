"""Each shipped workflow, dropped on the canvas as it is, runs; so does the graph inside the files it saves."""

import json

import pytest

from miso.tools.bootstrap import ROOT

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))


def test_there_are_workflows_with_pictures():
    assert len(WORKFLOWS) >= 4 and all(path.with_suffix(".jpg").is_file() for path in WORKFLOWS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_dropped_workflow_runs(browser_page, server, path):
    nodes = json.loads(path.read_text())["nodes"]
    browser_page.drop(path, nodes=len(nodes))
    browser_page.page.evaluate("""() => { window.misoSaved = [];
      window.comfyAPI.api.api.addEventListener('executed', e => window.misoSaved.push(...(e.detail.output.audio ?? []))) }""")
    end, detail = browser_page.run()
    assert end == "execution_success", detail
    assert not browser_page.errors
    saved = browser_page.page.evaluate("() => window.misoSaved")
    assert len(saved) == sum(node["type"] == "SaveAudio" for node in nodes)
    browser_page.drop(server.file(saved[0]), nodes=len(nodes))  # the sound carries the graph that made it


def test_saved_codes_restore_the_graph(browser_page, server):
    path = ROOT / "workflows" / "text_to_speech.json"
    nodes = json.loads(path.read_text())["nodes"]
    browser_page.load(path)
    browser_page.run()
    newest = max((server.base / "output" / "codes").glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
    browser_page.page.evaluate("() => app.graph.clear()")
    browser_page.drop(newest, nodes=len(nodes))
