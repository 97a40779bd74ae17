"""Saved workflows find blocks by id, links by socket name and order, widget values by position: none may
change by accident.

After a change on purpose: ``python -m miso test tests/nodes/test_interface.py --update-interface``, and a
line in CHANGELOG.
"""

import json
from pathlib import Path

INTERFACE = Path(__file__).with_name("interface.json")
NODES = {
    "MisoLoadLora",
    "MisoLoadModel",
    "MisoLoadVocoder",
    "MisoLoadRecogniser",
    "MisoTranscribe",
    "MisoPrepareVoice",
    "MisoNormalizeText",
    "MisoEncodeText",
    "MisoVoicePrompt",
    "MisoAddSegment",
    "MisoEncodeAudio",
    "MisoImportCodes",
    "MisoDepthDecoder",
    "MisoBackboneSampler",
    "MisoDialogue",
    "MisoLongText",
    "MisoBatchLines",
    "MisoSpeakerTracks",
    "MisoLoadVoice",
    "MisoSaveVoice",
    "MisoLoadConversation",
    "MisoSaveConversation",
    "MisoHiddenStates",
    "MisoAlignWords",
    "MisoReplaceWords",
    "MisoDepthRedecode",
    "MisoSaveCodes",
    "MisoLoadCodes",
    "MisoPreviewCodes",
    "MisoPickTake",
    "MisoBestTake",
    "MisoBestOfN",
    "MisoTrimCodes",
    "MisoSpliceCodes",
    "MisoKeepCodebooks",
    "MisoVocoderDecode",
    "MisoBlend",
    "MisoCompare",
    "MisoLoudness",
    "MisoTrimSilence",
    "MisoCodeEditor",
    "MisoDeleteCodes",
    "MisoInsertSilence",
    "MisoRepeatCodes",
    "MisoReplaceCodebooks",
    "MisoPrefix",
    "MisoStoredCodes",
    "MisoTakePicker",
}


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


def test_all_blocks_are_there(fresh):
    assert {name for name in fresh.nodes.NODE_CLASS_MAPPINGS if name.startswith("Miso")} == NODES
