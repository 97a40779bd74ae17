"""Small good files of every kind that comes from strangers, made from fixed seeds."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from miso.audio.files import write_audio
from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import save_checkpoint
from miso.codes.codes import Codes
from miso.codes.hidden import Hidden
from miso.codes.store import Store
from miso.codes.takes import Span, Take, Word
from miso.model.config import ModelConfig, StackConfig
from miso.text.conditioning import Segment
from miso.text.conversation import Conversation
from miso.text.voice import Voice
from miso.tools.export import export_codec
from miso.vocoders.mimi import MimiConfig, random_mimi, save_mimi
from miso.vocoders.source_filter import SourceFilter, SourceFilterConfig, save_source_filter

MODEL = ModelConfig(
    StackConfig(1, 2, 1, 8, 8), StackConfig(1, 2, 1, 8, 8), 258, 19, 3, 16, codec="tiny", family="bytes"
)
CODEC = MimiConfig(
    filters=2,
    ratios=(4, 4),
    dim=8,
    heads=1,
    encoder_layers=1,
    decoder_layers=1,
    ff=8,
    codebooks=3,
    codebook_size=16,
    codebook_dim=4,
    sample_rate=24_000,
)
ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
KEY = "ab" * 32  # of the entry in the store
TABLE = 'text,speaker,seed,voice,name\nHello there.,0,7,,one\n"Yes, well.",1,,,two\n'
PRONUNCIATIONS = "# names\nSiobhan = shivawn\nNguyen = /wˈɪn/\n"


def make_codes() -> Codes:
    tensor = torch.randint(0, 16, (2, 3, 6), generator=torch.Generator().manual_seed(0))
    takes = tuple(
        Take(i, "eos", (Span(0, 6, "Hello there.", i),), -1.5, (Word("Hello", 0, 2.5, 0.9),)) for i in (0, 1)
    )
    return Codes(tensor, [6, 5], "tiny", codebook_size=16, takes=takes, source={"model": "m", "top_k": 5})


def make_samples(folder: Path) -> None:
    """Write all samples into ``folder``."""
    torch.manual_seed(0)
    codes = make_codes()
    codes.save(folder / "codes.safetensors", {"workflow": '{"nodes": []}'})
    Hidden(torch.randn(2, 6, 8), torch.tensor([6, 5]), "f").save(folder / "hidden.safetensors")
    Voice.of("Anna", codes.take(0)).save(folder / "voice.safetensors")
    Conversation((Segment("Hello there.", 0, codes.take(0)),), {"Anna": 0}).save(
        folder / "conversation.safetensors"
    )
    Store(folder / "store").put(KEY, codes, Hidden(torch.randn(2, 6, 8), torch.tensor([6, 5]), "f"))
    _make_weights(folder)
    for suffix in (".wav", ".flac", ".mp3", ".opus"):
        write_audio(
            folder / f"sound{suffix}", torch.randn(4000) * 0.1, 48_000 if suffix == ".opus" else 24_000
        )
    np.save(folder / "array.npy", codes.tensor[0].numpy().astype(np.int16))
    save_file({"codes": codes.tensor}, folder / "array.safetensors", {"model": "csm"})
    (folder / "table.csv").write_text(TABLE)
    (folder / "pronunciations.txt").write_text(PRONUNCIATIONS)


def _make_weights(folder: Path) -> None:
    read = random_tensors(MODEL, seed=1)
    tensors = {name: read(name) for name in canonical_shapes(MODEL)}
    save_checkpoint(folder / "model.safetensors", MODEL, tensors)
    (folder / "shards").mkdir()
    names = sorted(tensors)
    parts = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    for file, part in parts.items():
        save_checkpoint(folder / "shards" / file, MODEL, {name: tensors[name] for name in part})
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps(index))
    save_mimi(folder / "codec.safetensors", random_mimi(CODEC, seed=1, codec="tiny"))
    # the published layout tells its sizes by its shapes
    save_file(load_file(folder / "codec.safetensors"), folder / "mimi.safetensors")
    if ONNX:
        export_codec(folder / "codec.safetensors", folder / "codec.onnx", "fp32")
    sizes = SourceFilterConfig(width=8, inner=8, frame_blocks=1, hop_blocks=1, hops=8)
    save_source_filter(folder / "vocoder.safetensors", SourceFilter(CODEC, sizes, "tiny"))
    (folder / "lora").mkdir()
    prefix = "base_model.model.backbone.layers.0.attn.q_proj.lora_"
    matrices = {f"{prefix}A.weight": torch.randn(2, 8), f"{prefix}B.weight": torch.randn(8, 2)}
    save_file(matrices, folder / "lora" / "adapter_model.safetensors")
    settings = {"lora_alpha": 4, "use_rslora": False, "alpha_pattern": {"q_proj": 8}, "use_dora": False}
    (folder / "lora" / "adapter_config.json").write_text(json.dumps(settings))
