"""Mimi's transformers: causal, with a window of 250 tokens and rotary positions.

Layer scale: Touvron et al. 2021, arXiv 2103.17239.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...model.rotary import rotate, rotation_from
from .config import MimiConfig

KeysValues = tuple[Tensor, Tensor]  # each [B, H, P, head dim], the last P <= window - 1 tokens


class TransformerPast(NamedTuple):
    """The state of one stream, or of a batch of streams in step."""

    position: int  # position of the next token
    layers: list[KeysValues]


def rotation(position: int, tokens: int, head_dim: int, base: float, device: torch.device) -> Tensor:
    """The argument ``turn`` of ``rotate`` for tokens position, position + 1, ...

    Angles are computed in fp64, on the CPU if the device has no fp64: at ten minutes (position 15 000) fp32
    angles would be wrong by 1e-3. They are not a buffer, so that casting the module can't round them.
    """
    place = device if device.type == "cuda" else torch.device("cpu")
    dims = torch.arange(0, head_dim, 2, dtype=torch.float64, device=place)
    positions = torch.arange(position, position + tokens, dtype=torch.float64, device=place)
    angles = positions[:, None] * torch.exp(dims * (-math.log(base) / head_dim))
    return rotation_from(angles.cos().to(device, torch.float32), angles.sin().to(device, torch.float32))


def window_mask(past: int, tokens: int, window: int, device: torch.device) -> Tensor | None:
    """A mask [T, past + T] of the keys that each of T queries may attend to, or None if that is all of them.

    A query attends to itself and to the ``window - 1`` tokens before it; past keys come first.
    """
    if tokens == 1 and past < window:
        return None
    query = torch.arange(past, past + tokens, device=device)[:, None]
    key = torch.arange(past + tokens, device=device)
    return (key <= query) & (key > query - window)


class Attention(nn.Module):
    """Self-attention over tokens and past keys: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: MimiConfig):
        super().__init__()
        self.heads, self.kept = config.heads, config.window - 1
        self.in_proj = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out_proj = nn.Linear(config.dim, config.dim, bias=False)

    def forward(
        self, x: Tensor, turn: Tensor, mask: Tensor | None, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        qkv = self.in_proj(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, head dim]
        q, k = rotate(q, turn), rotate(k, turn)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        y = F.scaled_dot_product_attention(q, k, v, mask)
        start = max(0, k.shape[2] - self.kept)
        return self.out_proj(y.transpose(1, 2).flatten(2)), (k[:, :, start:], v[:, :, start:])


class Layer(nn.Module):
    """Attention and MLP with pre-norm and layer scale: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: MimiConfig):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.self_attn = Attention(config)
        self.linear1 = nn.Linear(config.dim, config.ff, bias=False)
        self.linear2 = nn.Linear(config.ff, config.dim, bias=False)
        scale = float(config.layer_scale)  # JSON may have a whole number
        self.layer_scale_1 = nn.Parameter(torch.full((config.dim,), scale))
        self.layer_scale_2 = nn.Parameter(torch.full((config.dim,), scale))

    def forward(
        self, x: Tensor, turn: Tensor, mask: Tensor | None, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        y, past = self.self_attn(self.norm1(x), turn, mask, past)
        x = x + self.layer_scale_1 * y
        return x + self.layer_scale_2 * self.linear2(F.gelu(self.linear1(self.norm2(x)))), past


class Transformer(nn.Module):
    """[B, D, T] -> [B, D, T], the layout of the convolutions around it."""

    def __init__(self, config: MimiConfig, layers: int):
        super().__init__()
        self.head_dim, self.base, self.window = config.dim // config.heads, config.rope_base, config.window
        self.layers = nn.ModuleList(Layer(config) for _ in range(layers))

    def forward(self, x: Tensor, past: TransformerPast | None = None) -> tuple[Tensor, TransformerPast]:
        position = past.position if past else 0
        tokens = x.shape[-1]
        turn = rotation(position, tokens, self.head_dim, self.base, x.device)
        mask = window_mask(min(position, self.window - 1), tokens, self.window, x.device)
        x, new = x.transpose(1, 2), []
        for i, layer in enumerate(self.layers):
            x, kept = layer(x, turn, mask, past.layers[i] if past else None)
            new.append(kept)
        return x.transpose(1, 2), TransformerPast(position + tokens, new)
