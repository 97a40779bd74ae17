"""Every block has a page of help, and every page a block."""

from miso.tools.bootstrap import ROOT


def test_help_pages(comfy):
    plain_name = comfy.module("nodes.schema").plain_name
    blocks = {name for name in comfy.nodes.NODE_CLASS_MAPPINGS if name.startswith("Miso")}
    pages = {
        path.parent.name: path.read_text(encoding="utf-8") for path in (ROOT / "web" / "docs").glob("*/en.md")
    }
    assert pages.keys() == blocks
    for name, text in pages.items():
        assert text.startswith(f"# {plain_name(comfy.nodes.NODE_CLASS_MAPPINGS[name].define_schema())}\n"), (
            name
        )


def test_every_block_and_widget_is_described(comfy):
    for name, block in comfy.nodes.NODE_CLASS_MAPPINGS.items():
        if name.startswith("Miso"):
            info = block.GET_NODE_INFO_V1()
            assert info["description"], name
            for kind in info["input"].values():
                for input_name, (type_name, *options) in kind.items():
                    widget = isinstance(type_name, list) or type_name in (
                        "INT",
                        "FLOAT",
                        "STRING",
                        "BOOLEAN",
                        "COMBO",
                    )
                    if widget and input_name not in ("count", "text"):
                        assert options and options[0].get("tooltip"), f"{name}.{input_name}"
