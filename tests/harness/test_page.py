"""The page itself, on ComfyUI's own blocks: it becomes ready, takes a dropped graph, runs it."""

import json

from miso.tools.bootstrap import workflow

GRAPH = {
    "version": 0.4,
    "last_node_id": 2,
    "last_link_id": 1,
    "links": [[1, 1, 0, 2, 0, "AUDIO"]],
    "nodes": [
        {
            "id": 1,
            "type": "EmptyAudio",
            "pos": [100, 200],
            "size": [300, 130],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [],
            "outputs": [{"name": "AUDIO", "type": "AUDIO", "links": [1]}],
            "properties": {},
            "widgets_values": [0.5, 24000, 1],
        },
        {
            "id": 2,
            "type": "SaveAudio",
            "pos": [500, 200],
            "size": [300, 130],
            "flags": {},
            "order": 1,
            "mode": 0,
            "inputs": [{"name": "audio", "type": "AUDIO", "link": 1}],
            "outputs": [],
            "properties": {},
            "widgets_values": ["page"],
        },
    ],
}


def test_drop_and_run(browser_page, server, tmp_path):
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(GRAPH))
    browser_page.drop(file, nodes=2)
    object_info = server.get("/object_info")
    assert workflow.load(file, object_info) == browser_page.prompt(object_info)
    end, detail = browser_page.run()
    assert end == "execution_success", detail
    assert not browser_page.errors


def test_prompts_are_made_as_the_page_makes_them(browser_page, server):
    object_info = server.get("/object_info")
    names = [
        "KSampler",
        "KSamplerAdvanced",
        "CLIPTextEncode",
        "ImageScale",
        "LoadAudio",
        "SaveAudioMP3",
        "LoraLoader",
    ]
    names += [name for name in object_info if name.startswith("Miso")]
    graph = browser_page.page.evaluate(
        """names => {
      app.graph.clear();
      for (const name of names) app.graph.add(LiteGraph.createNode(name));
      return app.graph.serialize(); }""",
        names,
    )
    prompt = workflow.to_prompt(graph, object_info)
    assert len(prompt) == len(names)
    assert prompt == browser_page.prompt(object_info)
