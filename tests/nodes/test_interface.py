"""Saved workflows find blocks by id, links by socket name and order, widget values by position: none may
change by accident.

After a change on purpose: ``python -m miso test tests/nodes/test_interface.py --update-interface``, and a
line in CHANGELOG.
"""

import json
from pathlib import Path

INTERFACE = Path(__file__).with_name("interface.json")


def kind(declared: tuple) -> str:
    """The type of an input as the frontend reads it; choices of a list are data, not interface."""
    return "COMBO" if isinstance(declared[0], list) else declared[0]


def described(block) -> dict:
    inputs = block.INPUT_TYPES()
    return {
        "inputs": [
            f"{name}: {kind(declared)}{' (optional)' if group == 'optional' else ''}"
            for group in ("required", "optional")
            for name, declared in inputs.get(group, {}).items()
        ],
        "outputs": [f"{name}: {type_}" for name, type_ in zip(block.RETURN_NAMES, block.RETURN_TYPES)],
        "saves": bool(block.OUTPUT_NODE),
    }


def test_ids_sockets_types_and_order_are_those_recorded(comfy, pytestconfig):
    found = {
        name: described(block)
        for name, block in sorted(comfy.nodes.NODE_CLASS_MAPPINGS.items())
        if name.startswith("Miso")
    }
    if pytestconfig.getoption("--update-interface"):
        INTERFACE.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(INTERFACE.read_text())
