"""Sockets and wires of different types have different colours, in classic nodes and in Nodes 2.0, in every theme."""

import json

from miso.tools.bootstrap import ROOT
from miso.tools.bootstrap.comfyui import PACK

TYPES = {
    f"MISO_{name}"
    for name in (
        "BACKBONE",
        "DEPTH",
        "TEXT",
        "CONDITIONING",
        "CODES",
        "HIDDEN",
        "VOCODER",
        "VOICES",
        "CONVERSATION",
        "RECOGNISER",
    )
}
DRAWN = """types => Object.fromEntries(types.map(type => [type,
  [app.canvas.default_connection_color_byType[type], window.LGraphCanvas.link_type_colors[type]]]))"""
# what Nodes 2.0 paints its sockets with
VARIABLES = """types => Object.fromEntries(types.map(type => [type,
  getComputedStyle(document.body).getPropertyValue(`--color-datatype-${type}`).trim()]))"""
THEME = "theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)"


def test_every_type_has_a_colour_of_its_own_in_every_theme(browser_page):
    page = browser_page.page
    try:
        for theme in ("dark", "light", "nord"):
            page.evaluate(THEME, theme)
            page.wait_for_function(
                "types => types.every(t => app.canvas.default_connection_color_byType[t])", arg=[*TYPES]
            )
            drawn = page.evaluate(DRAWN, [*TYPES])
            assert all(sockets == wires for sockets, wires in drawn.values())
            assert len({sockets for sockets, _ in drawn.values()}) == len(TYPES)
            assert page.evaluate(VARIABLES, [*TYPES]) == {
                name: sockets for name, (sockets, _) in drawn.items()
            }
    finally:
        page.evaluate(THEME, "dark")


def test_no_type_of_the_pack_is_left_out(server):
    used = set()
    for name, info in server.get("/object_info").items():
        if name.startswith("Miso"):
            used |= {kind for kind in info["output"] if isinstance(kind, str)}
            used |= {
                declared[0]
                for group in info["input"].values()
                for declared in group.values()
                if isinstance(declared[0], str)
            }
    widgets = {"MISO_EDITS", "MISO_TAKES", "MISO_TURNS"}
    assert {kind for kind in used if kind.startswith("MISO_")} - widgets == TYPES


def test_the_demo_opens_its_workflow(browser_context, server):
    from harness.page import Page

    page = Page(browser_context.new_page(), server.url, f"/?template=text_to_speech&source={PACK}").page
    nodes = json.loads((ROOT / "workflows" / "text_to_speech.json").read_text())["nodes"]
    page.wait_for_function(
        "n => app.graph.nodes.length === n && app.graph.nodes.some(n => n.type === 'MisoBackboneSampler')",
        arg=len(nodes),
    )
    page.close()
