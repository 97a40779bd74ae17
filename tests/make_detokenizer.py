"""LFM2.5-Audio's detokenizer by its own code; ``python tests/make_detokenizer.py`` records a tiny one.

It needs transformers, and one file of the package: ``pip install --no-deps --ignore-requires-python
liquid-audio`` (its other requirements are for the whole model).
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

RECORDED = Path(__file__).parent / "fixtures" / "lfm2"
LAYERS = ("conv", "conv", *("sliding_attention", "conv") * 3)


def published() -> ModuleType | None:
    """The package's module ``detokenizer``, without the package; None if it isn't installed."""
    package = importlib.util.find_spec("liquid_audio")
    if package is None or package.origin is None:
        return None
    place = Path(package.origin).with_name("detokenizer.py")
    spec = importlib.util.spec_from_file_location("liquid_audio_detokenizer", place)
    assert spec and spec.loader
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def settings(dim: int, inner: int, layers: tuple[str, ...], heads: int, kv_heads: int, window: int) -> dict:
    """A config.json."""
    return {
        "hidden_size": dim,
        "intermediate_size": inner,
        "block_auto_adjust_ff_dim": False,
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "layer_types": layers,
        "sliding_window": window,
        "norm_eps": 1e-5,
        "rope_theta": 1e6,
        "vocab_size": 8,
    }


PUBLISHED = settings(512, 2304, LAYERS, 16, 8, 30)
TINY = settings(8, 8, ("conv", "sliding_attention", "conv"), 2, 1, 10)


def make(module: ModuleType, config: dict[str, Any], fft: int = 1280, codebook_size: int = 2048) -> nn.Module:
    """A detokenizer of the package's own code, with random weights that make no part of it idle."""
    from transformers import Lfm2Config

    # as the package renames them for transformers
    layers = [kind.replace("sliding", "full") for kind in config["layer_types"]]
    torch.manual_seed(0)
    net = module.LFM2AudioDetokenizer(Lfm2Config(**{**config, "layer_types": layers}))
    if fft != 1280:
        net.emb = module.FusedEmbedding(config["hidden_size"], 8, codebook_size)
        net.lin = nn.Linear(config["hidden_size"], fft + 2)
        net.istft = module.ISTFT(fft, fft // 4, fft)
    for name, weight in net.named_parameters():
        if "norm" in name:
            nn.init.uniform_(weight, 0.5, 2)
        elif name.startswith("lfm"):
            nn.init.normal_(weight, std=1.5 * weight[0].numel() ** -0.5)
    return net.eval().requires_grad_(False)


def save(net: nn.Module, config: dict[str, Any], folder: Path) -> Path:
    """Write it as it is published; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(net.state_dict(), folder / "model.safetensors", {"format": "pt"})
    return folder / "model.safetensors"


def draw(frames: int, codebook_size: int, batch: int = 1) -> Tensor:
    """Random codes [B, 8, T], the same in every run."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, codebook_size, (batch, 8, frames), generator=generator)


def record() -> None:
    """Write the tiny detokenizer, codes past its window, and what the package's code makes of them."""
    module = published()
    assert module, __doc__
    net, codes = make(module, TINY, 8, 8), draw(9, 8)
    save(net, TINY, RECORDED)
    save_file({"codes": codes.to(torch.uint8), "wave": net(codes)}, RECORDED / "expected.safetensors")


if __name__ == "__main__":
    record()
