"""Workflows as people share them, turned into prompts as the server runs them.

The browser saves a graph with everything it draws and with widget values by position; the server takes inputs
by name. The browser converts one into the other before each run. This does the same without a browser, with
names and order from the server's ``/object_info``.
"""

import json
from pathlib import Path

from ...errors import MisoError

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
DRAWN_ONLY = {
    "Note",
    "MarkdownNote",
    "Reroute",
    "PrimitiveNode",
}  # the browser's own: the server has no such blocks
OFF = {2, 4}  # modes of a node: muted, bypassed


def load(path: Path, object_info: dict) -> dict:
    """The prompt for a workflow file."""
    return to_prompt(json.loads(path.read_text(encoding="utf-8")), object_info)


def to_prompt(workflow: dict, object_info: dict) -> dict:
    """``{node id: {class_type, inputs}}`` of a graph as the browser saves it, without bypassed nodes."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: (link[1], link[2]) for link in workflow["links"]}  # [id, from, slot, to, slot, type]
    prompt = {}
    for node in nodes.values():
        if node["type"] in DRAWN_ONLY or node.get("mode") in OFF:
            continue
        if node["type"] not in object_info:
            raise MisoError(
                f"The workflow uses the block {node['type']}, which this ComfyUI does not have.",
                "See the start of ComfyUI's log: it names custom nodes that failed to load.",
            )
        inputs = _widget_values(node, object_info[node["type"]]["input"])
        for slot in node.get("inputs", ()):
            source = _source(slot.get("link"), nodes, links)
            if source:
                inputs[slot["name"]] = source
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _source(link: int | None, nodes: dict, links: dict) -> list | None:
    """What feeds a slot, behind any reroutes; None if nothing is connected or a widget holds the value."""
    while link is not None:
        origin, slot = links[link]
        node = nodes[origin]
        if node["type"] != "Reroute":
            return None if node["type"] in DRAWN_ONLY or node.get("mode") in OFF else [str(origin), slot]
        link = node["inputs"][0].get("link")
    return None


def _widget_values(node: dict, declared: dict) -> dict:
    """Widget values by name. An input that was made a socket keeps its place in the list."""
    values = list(node.get("widgets_values") or ())
    drawn = {
        slot["name"] for slot in node.get("inputs", ()) if "widget" in slot
    }  # finds widgets of custom types
    named = {}
    for name, (kind, *options) in (
        *declared.get("required", {}).items(),
        *declared.get("optional", {}).items(),
    ):
        options = options[0] if options else {}
        widget = name in drawn or isinstance(kind, list) or kind in WIDGETS
        if not widget or options.get("forceInput"):
            continue
        if values:
            value = values.pop(0)
            named[name] = (
                {"__value__": value} if isinstance(value, list) else value
            )  # a bare list would read as a link
        elif "default" in options:
            named[name] = options["default"]
        # the browser adds a "what to do after a run" widget to seeds, whether or not they ask for it
        if kind == "INT" and options.get("control_after_generate", name in ("seed", "noise_seed")):
            values[:1] = []
    return named
