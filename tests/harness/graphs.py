"""Graphs in API format that several tests run."""

import json

CLEAR = "He closed the window."  # nano says it so that a small recogniser understands it
SCRIPT = "Anna: This is one.\nBen: This is two. [pause 0.4]\nAnna: This is three."


def graph(**changes) -> dict:
    """Text to speech: model 1, text 2, sampler 3, vocoder 4, decode 5, save 6, codes 7. ``changes``: 'node__input'."""
    prompt = {
        "1": {
            "class_type": "MisoLoadModel",
            "inputs": {"checkpoint": "tiny.safetensors", "precision": "auto"},
        },
        "2": {
            "class_type": "MisoEncodeText",
            "inputs": {"text_encoder": ["1", 2], "text": "Hello there.", "speaker": 0},
        },
        "3": {
            "class_type": "MisoBackboneSampler",
            "inputs": {
                "backbone": ["1", 0],
                "depth": ["1", 1],
                "conditioning": ["2", 0],
                "seed": 3,
                "takes": 2,
                "max_seconds": 0.8,
                "temperature": 0.9,
                "top_k": 50,
            },
        },
        "4": {
            "class_type": "MisoLoadVocoder",
            "inputs": {"backend": "mimi", "checkpoint": "tiny-codec.safetensors"},
        },
        "5": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["3", 0], "vocoder": ["4", 0]}},
        "6": {"class_type": "SaveAudio", "inputs": {"audio": ["5", 0], "filename_prefix": "miso"}},
        "7": {"class_type": "MisoSaveCodes", "inputs": {"codes": ["3", 0], "filename_prefix": "codes/test"}},
    }
    return _changed(prompt, changes)


def heard_graph(recogniser: str, **changes) -> dict:
    """nano says a clear line (1 to 5), and a recogniser (20) writes it down (21). ``changes``: as above."""
    prompt = graph(
        n1__checkpoint="nano.safetensors",
        n2__text=CLEAR,
        n3__takes=1,
        n3__max_seconds=4.0,
        n3__temperature=0.25,
        n4__backend="auto",
        n4__checkpoint="nano-vocoder.safetensors",
    )
    inputs = {"recogniser": recogniser, "language": "auto"}
    prompt["20"] = {"class_type": "MisoLoadRecogniser", "inputs": inputs}
    inputs = {"audio": ["5", 0], "recogniser": ["20", 0]}
    prompt["21"] = {"class_type": "MisoTranscribe", "inputs": inputs}
    del prompt["6"], prompt["7"]
    return _changed(prompt, changes)


def edit_graph(edits=(), vocoder=True, **changes) -> dict:
    """model (1), text (2), sampler (3), vocoder (4), other codes (8) -> editor (9) -> save (10); ``changes``
    by 'n9__input'."""
    prompt = {node: block for node, block in graph(n3__takes=1).items() if node in "1234"}
    prompt["8"] = {"class_type": "MisoLoadCodes", "inputs": {"file": "edit_other.safetensors"}}
    edited = {"codes": ["3", 0], "other": ["8", 0], "edits": json.dumps(list(edits))}
    prompt["9"] = {"class_type": "MisoCodeEditor", "inputs": edited}
    saved = {"codes": ["9", 0], "filename_prefix": "codes/edited"}
    prompt["10"] = {"class_type": "MisoSaveCodes", "inputs": saved}
    if vocoder:
        prompt["9"]["inputs"]["vocoder"] = ["4", 0]
    return _changed(prompt, changes)


def small_graph(kind: str, inputs: dict) -> dict:
    """other codes (8) -> a block (9) -> save (10)."""
    prompt = edit_graph()
    return {
        "4": prompt["4"],
        "8": prompt["8"],
        "9": {"class_type": kind, "inputs": {"codes": ["8", 0], **inputs}},
        "10": prompt["10"],
    }


def _changed(prompt: dict, changes: dict) -> dict:
    for key, value in changes.items():
        node, name = key.removeprefix("n").split("__")
        prompt[node]["inputs"][name] = value
    return prompt


def turns_graph(block: str, filename_prefix: str | list, **inputs) -> dict:
    """Model 1, codec 2, a block that says turns or lines 3, decode 4, save 5."""
    return {
        "1": {
            "class_type": "MisoLoadModel",
            "inputs": {"checkpoint": "tiny.safetensors", "precision": "auto"},
        },
        "2": {
            "class_type": "MisoLoadVocoder",
            "inputs": {"backend": "mimi", "checkpoint": "tiny-codec.safetensors"},
        },
        "3": {
            "class_type": block,
            "inputs": {
                "backbone": ["1", 0],
                "depth": ["1", 1],
                "text_encoder": ["1", 2],
                "seed": 3,
                "max_seconds": 0.4,
                "temperature": 0.9,
                "top_k": 50,
                **inputs,
            },
        },
        "4": {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["3", 0], "vocoder": ["2", 0]}},
        "5": {"class_type": "SaveAudio", "inputs": {"audio": ["4", 0], "filename_prefix": filename_prefix}},
    }


def talk(script: str = SCRIPT, **inputs) -> dict:
    """Model 1, codec 2, dialogue 3, decode 4, save 5: five blocks."""
    return turns_graph("MisoDialogue", "talk", **{"script": script, "preview": ["2", 0], **inputs})
