"""The Llama-style decoder stack of which both networks are made.

Architecture: Llama 3 (Dubey et al. 2024, arXiv 2407.21783). Modules have the names of the published
checkpoints, and RoPE rotates interleaved pairs as they do, so that published tensors are used unchanged.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import StackConfig
from .rotary import rotate, rotation_from
from .row import RowStep

_LOGITS = 2**22  # of attention that is looked into, at once: 16 MB, or a head's
_ROWS = 2  # of each sequence that are computed one by one on a CPU: a frame begins with two


class KVCache:
    """Keys and values of every layer, [L, B, KV heads, capacity, head dim] each, written by position."""

    def __init__(
        self, config: StackConfig, batch: int, capacity: int, *, device: torch.device, dtype: torch.dtype
    ):
        shape = (config.layers, batch, config.kv_heads, capacity, config.head_dim)
        # zeros, not empty: rows not yet written are masked, but 0 * NaN would still be NaN
        self.keys, self.values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def write(self, layer: int, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v [B, KV heads, S, H] at positions [S], or [B, S] of each take's own.

        Returns the layer's [B, KV heads, capacity, H].
        """
        for table, rows in ((self.keys[layer], k), (self.values[layer], v)):
            if positions.dim() == 1:
                table.index_copy_(2, positions, rows)
            else:
                table.scatter_(2, positions[:, None, :, None].expand_as(rows), rows)
        return self.keys[layer], self.values[layer]

    def takes(self, start: int, end: int) -> KVCache:
        """The cache of some takes alone, in the same memory."""
        cache = object.__new__(KVCache)
        cache.keys, cache.values = self.keys[:, start:end], self.values[:, start:end]
        return cache

    def spread(self, rows: int) -> None:
        """Copy the first ``rows`` positions of the first take to all takes: a prompt is prefilled once."""
        for tensor in (self.keys, self.values):
            tensor[:, 1:, :, :rows] = tensor[:, :1, :, :rows]


class Rope(nn.Module):
    """Rotary positions with Llama 3's scaling (factor 32, low 1, high 4, original context 8192).

    The table stays in fp32 whatever the model's dtype: in bf16 it would be wrong by 1e-3.
    """

    table: Tensor  # cosines and sines [2, P, H / 2]

    def __init__(self, head_dim: int, positions: int, base: float):
        super().__init__()
        # on the CPU even if the model is built on the meta device, because no checkpoint contains the table
        freqs = base ** -(torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim)
        turns = 8192 * freqs / (2 * math.pi)  # full rotations over the original context
        smooth = ((turns - 1) / (4 - 1)).clamp(0, 1)
        freqs = freqs * (smooth + (1 - smooth) / 32)
        angles = torch.outer(torch.arange(positions, dtype=torch.float32, device="cpu"), freqs)
        self.register_buffer("table", torch.stack((angles.cos(), angles.sin())), persistent=False)

    def _apply(self, fn, recurse=True):
        self.table = self.table.to(fn(self.table).device)  # the device only, not the dtype
        return self

    def forward(self, positions: Tensor) -> Tensor:
        """The rotation, as ``rotate`` takes it, of rows at positions [S], or [B, S] of each take's own."""
        cos, sin = self.table[:, positions]
        if positions.dim() == 2:
            cos, sin = cos[:, None], sin[:, None]  # the same for all heads
        return rotation_from(cos, sin)


class RMSNorm(nn.Module):
    """Root mean square norm (Zhang and Sennrich 2019, arXiv 1910.07467), computed in fp32 for any dtype."""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.scale, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.scale.shape, self.scale, self.eps)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245)."""

    def __init__(self, config: StackConfig):
        super().__init__()
        self.head_dim, self.kv_heads = config.head_dim, config.kv_heads
        kv_dim = config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.k_proj = nn.Linear(config.dim, kv_dim, bias=False)
        self.v_proj = nn.Linear(config.dim, kv_dim, bias=False)
        self.output_proj = nn.Linear(config.dim, config.dim, bias=False)

    def forward(
        self,
        x: Tensor,
        rotation: Tensor,
        bias: Tensor,
        cache: KVCache | None,
        layer: int,
        positions: Tensor,
        window: int,
    ) -> Tensor:
        """Output [B, S, D] for x [B, S, D] and bias [(B, 1,) group * S, window]; see
        ``Transformer.forward``."""
        B, S, _ = x.shape
        q, k, v = (
            proj(x).view(B, S, -1, self.head_dim).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, rotation), rotate(k, rotation)
        if cache is not None:
            k, v = (t[:, :, :window] for t in cache.write(layer, positions, k, v))
        # the query heads of a KV head become further queries of it, so that KV heads need not be expanded
        group = q.shape[1] // self.kv_heads
        q = q.reshape(B, self.kv_heads, group * S, self.head_dim)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.output_proj(y.reshape(B, -1, S, self.head_dim).transpose(1, 2).reshape(B, S, -1))

    def weights(self, x: Tensor, rotation: Tensor, rows: slice, columns: Tensor) -> Tensor:
        """How much of their attention ``rows`` give to ``columns``: [heads, rows, columns] in fp32.

        For one sequence x [1, S, D] without a cache. ``forward`` doesn't compute them: they are for what
        looks into the network, not for sampling.
        """
        q, k = (
            rotate(proj(x).view(1, x.shape[1], -1, self.head_dim).transpose(1, 2), rotation)[0].float()
            for proj in (self.q_proj, self.k_proj)
        )
        place = torch.arange(x.shape[1], device=x.device)
        later = place > place[rows, None]
        group, found = len(q) // self.kv_heads, []
        at_once = max(1, _LOGITS // later.numel())
        for heads in torch.arange(len(q), device=x.device).split(at_once):
            logits = q[heads][:, rows] @ k[heads // group].mT / self.head_dim**0.5
            whole = logits.masked_fill_(later, -torch.inf).logsumexp(-1, keepdim=True)
            found.append((logits[..., columns] - whole).exp())
        return torch.cat(found)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202): w2(silu(w1 x) * w3 x)."""

    def __init__(self, config: StackConfig):
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.inter, bias=False)
        self.w2 = nn.Linear(config.inter, config.dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.inter, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
    """Attention and MLP, each with a norm before it and a residual connection around it."""

    def __init__(self, config: StackConfig, eps: float):
        super().__init__()
        self.sa_norm, self.attn = RMSNorm(config.dim, eps), Attention(config)
        self.mlp_norm, self.mlp = RMSNorm(config.dim, eps), MLP(config)

    def forward(self, x: Tensor, *attention_args) -> Tensor:
        x = x + self.attn(self.sa_norm(x), *attention_args)
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """A causal stack of layers over embedded rows."""

    rope: Rope

    def __init__(self, config: StackConfig, *, positions: int, rope_base: float, norm_eps: float):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config, norm_eps) for _ in range(config.layers))
        self.norm = RMSNorm(config.dim, norm_eps)
        self.rope = Rope(config.head_dim, positions, rope_base)
        self._steps: list[RowStep | None] = []  # one, once it is known whether there is one

    def forward(
        self,
        x: Tensor,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
        window: int | None = None,
    ) -> Tensor:
        """Hidden states [B, S, D] of rows x [B, S, D].

        With a cache the rows are at ``positions`` [S], or [B, S] where each take has its own, and attend to
        cached rows of their take up to themselves. Only the first ``window`` rows of the cache are read (an
        integer on the host, at least the last position + 1; default: all): shapes stay static inside a CUDA
        graph, and the CPU need not read the whole cache.
        Without a cache the rows are a sequence at positions 0 to S-1.
        """
        if cache is not None and positions is not None and (step := self._row_step(x, positions)):
            most = cache.capacity if window is None else window
            rows = zip(x.split(1, 1), positions.split(1, -1))
            return torch.cat([step(row, place, cache, most) for row, place in rows], 1)
        if positions is None:
            positions = torch.arange(x.shape[1], device=x.device)
        if cache is None:
            window = x.shape[1]
        elif window is None:
            window = cache.capacity
        later = torch.arange(window, device=x.device) > positions[..., None]
        bias = torch.zeros(later.shape, dtype=x.dtype, device=x.device).masked_fill_(later, -torch.inf)
        group = self.config.heads // self.config.kv_heads
        if positions.dim() == 1:
            bias = bias.repeat(group, 1)  # [group * S, window]
        else:
            bias = bias.repeat(1, group, 1)[:, None]  # [B, 1, group * S, window]
        rotation = self.rope(positions)
        for i, layer in enumerate(self.layers):
            x = layer(x, rotation, bias, cache, i, positions, window)
        return self.norm(x)

    def _row_step(self, x: Tensor, positions: Tensor) -> RowStep | None:
        """What computes a single row of a small network on a CPU; it is made at the first one."""
        if x.shape[1] > _ROWS or x.device.type != "cpu" or torch.is_grad_enabled():
            return None
        if not self._steps or (self._steps[0] and not self._steps[0].is_of(self)):
            self._steps = [RowStep(self) if RowStep.serves(self) else None]
        return self._steps[0]

    def _apply(self, fn, recurse=True):
        self._steps = []
        return super()._apply(fn, recurse)

    def cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for ``batch`` takes of up to ``capacity`` rows."""
        weight = self.norm.scale
        return KVCache(self.config, batch, capacity, device=weight.device, dtype=weight.dtype)
