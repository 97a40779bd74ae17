"""Decoding as one graph with explicit state, for runtimes that can't run our Python.

The graph computes what ``Mimi.decode_step`` does, with tensors of fixed shape as its state: keys and values
always have window - 1 places, and a mask hides those before the beginning.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .codec import Mimi
from .config import MimiConfig
from .quantizer import ResidualQuantizer


def state_shapes(config: MimiConfig) -> dict[str, tuple[int, ...]]:
    """The names of the state's tensors, in the order of ``DecodeStep``'s arguments, and their shapes.

    All but the position (int64, no dimensions) are fp32 and have the takes as a first dimension, which is
    left out here. At the beginning all are zeros.
    """
    c = config
    channels = c.filters * 2 ** len(c.ratios)
    convolutions = [(c.dim, c.kernel - 1)]
    for ratio in c.ratios:
        channels //= 2
        convolutions.append((channels, ratio))
        reaches = ((c.residual_kernel - 1) * c.dilation_base**j for j in range(c.residual_layers))
        convolutions += [(channels, reach) for reach in reaches]
    convolutions.append((c.filters, c.last_kernel - 1))
    layer = (c.heads, c.window - 1, c.dim // c.heads)
    return {
        "position": (),
        "upsample": (c.dim, c.stride),
        **{f"{name}.{i}": layer for i in range(c.decoder_layers) for name in ("keys", "values")},
        **{f"convolution.{i}": shape for i, shape in enumerate(convolutions)},
    }


class DecodeStep(nn.Module):
    """Codes [B, K, T] and the state -> samples [B, 1, T * frame_size] and the new state.

    K is always all codebooks; the id ``codebook_size`` stands for a codebook that is absent.
    """

    frequencies: Tensor

    def __init__(self, mimi: Mimi):
        super().__init__()
        self.config = config = mimi.config
        self.upsample, self.transformer, self.decoder = (
            mimi.upsample,
            mimi.decoder_transformer,
            mimi.decoder,
        )
        self.semantic = _Lookup(mimi.quantizer.semantic)
        self.acoustic = _Lookup(mimi.quantizer.acoustic)
        size = config.dim // config.heads
        exponents = torch.arange(0, size, 2, dtype=torch.float64) * (-math.log(config.rope_base) / size)
        self.register_buffer("frequencies", exponents.exp() / (2 * math.pi))  # turns per position

    def forward(self, codes: Tensor, position: Tensor, upsample: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        c = self.config
        x = self.semantic(codes[:, : c.semantic]) + self.acoustic(codes[:, c.semantic :])
        x, upsample = self.upsample(x, upsample)
        tokens = x.shape[-1]
        query = position + torch.arange(tokens, device=x.device)
        key = position - (c.window - 1) + torch.arange(c.window - 1 + tokens, device=x.device)
        mask = (key <= query[:, None]) & (key > query[:, None] - c.window) & (key >= 0)
        # Angles in fp64, as in ``rotation``, less whole turns: ONNX Runtime up to 1.23 has no cosine in fp64.
        # Cosines and sines, because graphs have no complex numbers.
        turns = query.double()[:, None] * self.frequencies
        angles = (2 * math.pi * (turns - turns.floor())).float()
        turn = torch.stack((angles.cos(), angles.sin()))
        x, new = x.transpose(1, 2), []
        for layer, keys, values in zip(self.transformer.layers, past[::2], past[1::2], strict=False):
            x, kept = layer(x, turn, mask, (keys, values))
            new += kept
        x, convolutions = self.decoder(x.transpose(1, 2), list(past[2 * c.decoder_layers :]))
        return x, position + tokens, upsample, *new, *convolutions


class _Lookup(nn.Module):
    """The latent [B, dim, T] of codes [B, k, T], from one flat table."""

    first: Tensor

    def __init__(self, quantizer: ResidualQuantizer):
        super().__init__()
        tables = quantizer.tables.detach()
        entries = tables.shape[1] + 1  # the last one, of zeros, is for an absent codebook
        self.table = nn.Parameter(F.pad(tables, (0, 0, 0, 1)).flatten(0, 1), requires_grad=False)
        self.output_proj = quantizer.output_proj
        self.register_buffer("first", entries * torch.arange(len(tables))[:, None])

    def forward(self, codes: Tensor) -> Tensor:
        return self.output_proj(F.embedding(codes + self.first, self.table).sum(1).transpose(1, 2))
