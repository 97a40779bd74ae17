"""Graphs in API format that several tests run."""


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
    for key, value in changes.items():
        node, name = key.removeprefix("n").split("__")
        prompt[node]["inputs"][name] = value
    return prompt
