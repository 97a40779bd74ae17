"""LFM2.5-Audio's detokenizer: another decoder for the first 8 codebooks of Mimi.

The mean of a frame's code vectors, repeated six times, goes through a causal LFM2 (Liquid AI 2025,
arXiv 2511.23404): gated short convolutions and attention with a window. Its outputs are the log magnitudes
and phases of an inverse short-time Fourier transform, as in Vocos (Siuzdak 2023, arXiv 2306.00814).
Architecture, sizes and tensor names: the package ``liquid-audio`` 1.3.0 and ``Lfm2Model`` of transformers.

It is written in plain torch and not on ``Lfm2Model``: that needs a recent transformers, and its caches don't
know the window, so a stream would compute the last 17 frames again with each new one. Here the state is
carried, which is exact at any chunk size and length.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...model.rotary import rotate
from ..mimi.transformer import rotation, window_mask
from .config import CODEBOOKS, TOKENS, DetokenizerConfig

Past = tuple[Tensor, ...]  # of a convolution its last inputs; of attention its last keys and values


class DetokenizerState(NamedTuple):
    """The state of one stream; immutable."""

    position: int  # tokens done
    pasts: tuple[Past | None, ...]  # of each layer; None before the first frame
    sums: Tensor  # [B, fft - hop]: sums of the windows to which later ones will add
    shares: Tensor  # [1, fft - hop]: the same of the squared window, by which sums are divided


class Detokenizer(nn.Module):
    """Codes [B, K >= 8, T] -> samples [B, 1, T * frame_size]; codebooks beyond the eighth are not read.

    ``layers`` may have any dtype; all else is fp32.
    """

    window: Tensor

    def __init__(self, config: DetokenizerConfig):
        super().__init__()
        self.config = config
        self.tables = nn.Embedding(CODEBOOKS * config.codebook_size, config.dim)
        self.layers = nn.ModuleList(Layer(config, kind) for kind in config.layers)
        self.embedding_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.lin = nn.Linear(config.dim, config.fft + 2)
        self.register_buffer("window", torch.hann_window(config.fft))

    def start(self, batch: int) -> DetokenizerState:
        """The state before the first frame, on the weights' device."""
        silence = self.window.new_zeros(batch, self.config.fft - self.config.hop)
        return DetokenizerState(0, (None,) * len(self.layers), silence, silence[:1])

    def step(self, codes: Tensor, state: DetokenizerState) -> tuple[Tensor, DetokenizerState]:
        """The next frames [B, K, t] -> samples [B, 1, n]: all so far except the last ``look_ahead``."""
        c = self.config
        rows = torch.arange(CODEBOOKS, device=codes.device)[:, None] * c.codebook_size
        x = self.tables(codes[:, :CODEBOOKS] + rows).mean(1).repeat_interleave(TOKENS, 1)  # [B, N, dim]
        x = x.to(next(self.layers.parameters()).dtype)
        tokens, position, pasts = x.shape[1], state.position, []
        turn = rotation(position, tokens, c.head_dim, c.rope_base, x.device)
        mask = window_mask(min(position, c.window - 1), tokens, c.window, x.device)
        for layer, past in zip(self.layers, state.pasts, strict=True):
            x, past = layer(x, turn, mask, past)
            pasts.append(past)
        levels, phases = self.lin(self.embedding_norm(x.float())).chunk(2, 2)
        windows = torch.fft.irfft(torch.polar(levels.exp(), phases), c.fft) * self.window  # [B, N, fft]
        sums = self._overlap(windows, state.sums)
        shares = self._overlap(self.window.square().expand(1, tokens, -1), state.shares)
        # the first window begins before the first sample
        first, end = 0 if position else c.look_ahead, tokens * c.hop
        wave = (sums[:, first:end] / shares[:, first:end])[:, None]
        return wave, DetokenizerState(position + tokens, tuple(pasts), sums[:, end:], shares[:, end:])

    def rest(self, state: DetokenizerState) -> Tensor:
        """The last ``look_ahead`` samples [B, 1, n]."""
        end = self.config.look_ahead
        return (state.sums[:, :end] / state.shares[:, :end])[:, None]

    def _overlap(self, windows: Tensor, before: Tensor) -> Tensor:
        """Add windows [B, N, fft], a hop apart, to the sums ``before``: [B, (N - 1) * hop + fft]."""
        c = self.config
        length = (windows.shape[1] - 1) * c.hop + c.fft
        sums = F.fold(windows.transpose(1, 2), (1, length), (1, c.fft), stride=(1, c.hop))[:, 0, 0]
        return sums + F.pad(before, (0, length - before.shape[1]))


class Layer(nn.Module):
    """A short convolution or attention, and an MLP, each with pre-norm: [B, N, dim] -> the same."""

    def __init__(self, config: DetokenizerConfig, kind: str):
        super().__init__()
        self.kind = kind
        if kind == "conv":
            self.conv = ShortConv(config)
        else:
            self.self_attn = Attention(config)
        self.feed_forward = MLP(config)
        self.operator_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.ffn_norm = nn.RMSNorm(config.dim, config.norm_eps)

    @property
    def operator(self) -> ShortConv | Attention:
        return self.conv if self.kind == "conv" else self.self_attn

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor | None, past: Past | None) -> tuple[Tensor, Past]:
        y, past = self.operator(self.operator_norm(x), turn, mask, past)
        x = x + y
        return x + self.feed_forward(self.ffn_norm(x)), past


class ShortConv(nn.Module):
    """A causal depthwise convolution between two gates: [B, N, dim] -> the same."""

    def __init__(self, config: DetokenizerConfig):
        super().__init__()
        dim, self.reach = config.dim, config.kernel - 1
        self.conv = nn.Conv1d(dim, dim, config.kernel, groups=dim, bias=False)
        self.in_proj, self.out_proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor | None, past: Past | None) -> tuple[Tensor, Past]:
        before, after, values = self.in_proj(x).transpose(1, 2).chunk(3, 1)
        inputs = before * values
        inputs = F.pad(inputs, (self.reach, 0)) if past is None else torch.cat((past[0], inputs), 2)
        y = self.out_proj((after * self.conv(inputs)).transpose(1, 2))
        return y, (inputs[:, :, x.shape[1] :],)


class Attention(nn.Module):
    """Grouped-query attention within a window, queries and keys normalised: [B, N, dim] -> the same."""

    def __init__(self, config: DetokenizerConfig):
        super().__init__()
        self.head_dim, self.kept = config.head_dim, config.window - 1
        self.queries = config.heads // config.kv_heads  # per key
        width, kv_width = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.dim, width, bias=False)
        self.k_proj = nn.Linear(config.dim, kv_width, bias=False)
        self.v_proj = nn.Linear(config.dim, kv_width, bias=False)
        self.out_proj = nn.Linear(width, config.dim, bias=False)
        self.q_layernorm = nn.RMSNorm(config.head_dim, config.norm_eps)
        self.k_layernorm = nn.RMSNorm(config.head_dim, config.norm_eps)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor | None, past: Past | None) -> tuple[Tensor, Past]:
        projected = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        q, k, v = (y.unflatten(2, (-1, self.head_dim)).transpose(1, 2) for y in projected)
        q, k = rotate(_pairs(self.q_layernorm(q)), turn), rotate(_pairs(self.k_layernorm(k)), turn)
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)  # [B, kv heads, P + N, H]
        keys, values = (y.repeat_interleave(self.queries, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, keys, values, mask)
        start = max(0, k.shape[2] - self.kept)
        return self.out_proj(y.transpose(1, 2).flatten(2)), (k[:, :, start:], v[:, :, start:])


def _pairs(x: Tensor) -> Tensor:
    """Heads [..., H] whose halves are rotated together, in the order of ``rotate``, which takes neighbours.

    Products of queries and keys stay the same, as both change their order.
    """
    return x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202): [B, N, dim] -> the same."""

    def __init__(self, config: DetokenizerConfig):
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.inner, bias=False)
        self.w2 = nn.Linear(config.inner, config.dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))
