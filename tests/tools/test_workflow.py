"""Workflow to prompt, on handwritten graphs. tests/harness compares it with the browser's conversion."""

import pytest

from miso.errors import MisoError
from miso.tools.bootstrap.workflow import to_prompt

INFO = {
    "Draw": {
        "input": {
            "required": {
                "seed": ["INT", {"default": 0}],
                "model": ["MODEL"],
                "kind": [["a", "b"]],
                "curve": ["CURVE", {}],
            },
            "optional": {"note": ["STRING", {"forceInput": True}], "rate": ["FLOAT", {"default": 0.5}]},
        }
    },
    "Make": {"input": {"required": {}}},
}


def graph(*nodes, links=()):
    return {"nodes": list(nodes), "links": [list(link) for link in links]}


def draw(**more):
    return {
        "id": 1,
        "type": "Draw",
        "widgets_values": [7, "fixed", "b", "0,1"],
        "inputs": [
            {"name": "model", "link": 5},
            {"name": "curve", "widget": {"name": "curve"}, "link": None},
        ],
        **more,
    }


def test_widgets_by_name():
    make, note = {"id": 2, "type": "Make"}, {"id": 3, "type": "Note"}
    prompt = to_prompt(graph(draw(), make, note, links=[(5, 2, 0, 1, 0, "MODEL")]), INFO)
    assert set(prompt) == {"1", "2"} and prompt["1"]["class_type"] == "Draw"
    assert prompt["1"]["inputs"] == {"seed": 7, "kind": "b", "curve": "0,1", "rate": 0.5, "model": ["2", 0]}


def test_a_linked_widget_keeps_its_place():
    node = draw(inputs=[{"name": "seed", "widget": {"name": "seed"}, "link": 5}])
    workflow = graph(node, {"id": 2, "type": "Make"}, links=[(5, 2, 1, 1, 0, "INT")])
    inputs = to_prompt(workflow, INFO)["1"]["inputs"]
    assert inputs["seed"] == ["2", 1] and inputs["kind"] == "b"


def test_reroutes_are_followed_and_primitives_leave_the_widget():
    reroute = {"id": 3, "type": "Reroute", "inputs": [{"name": "", "link": 6}]}
    primitive = {"id": 4, "type": "PrimitiveNode"}
    node = draw()
    node["inputs"].append({"name": "seed", "widget": {"name": "seed"}, "link": 7})
    links = [(5, 3, 0, 1, 0, "*"), (6, 2, 0, 3, 0, "*"), (7, 4, 0, 1, 2, "INT")]
    workflow = graph(node, {"id": 2, "type": "Make"}, reroute, primitive, links=links)
    inputs = to_prompt(workflow, INFO)["1"]["inputs"]
    assert inputs["model"] == ["2", 0] and inputs["seed"] == 7


@pytest.mark.parametrize("mode", [2, 4])
def test_muted_and_bypassed_nodes_are_left_out(mode):
    off = {"id": 2, "type": "Make", "mode": mode}
    prompt = to_prompt(graph(draw(), off, links=[(5, 2, 0, 1, 0, "MODEL")]), INFO)
    assert set(prompt) == {"1"} and "model" not in prompt["1"]["inputs"]


def test_an_unknown_node_is_named():
    with pytest.raises(MisoError, match="Elsewhere"):
        to_prompt(graph({"id": 1, "type": "Elsewhere"}), INFO)
