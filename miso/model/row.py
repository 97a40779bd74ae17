"""One row of each sequence through a transformer on a CPU, in as few operations as possible.

At the width of small models a frame is hundreds of tiny operations, and most of its time goes into starting
them. So queries, keys and values are one product here, as are the two halves of the MLP, and no modules are
called. The matrices are packed in fp16 where that holds them (see ``packed``). The numbers are those of
``Transformer.forward`` but for rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .packed import is_small, multiply, pack_matrix, state_of

if TYPE_CHECKING:
    from .transformer import KVCache, Layer, RMSNorm, Transformer


class _Norm(NamedTuple):
    """RMS norm as one call: a layer norm of (x, -x), whose mean is 0."""

    scale: Tensor  # [2 D]
    zero: Tensor  # [2 D]
    eps: float

    @staticmethod
    def of(norm: RMSNorm) -> _Norm:
        scale = torch.cat((norm.scale, norm.scale))
        return _Norm(scale, torch.zeros_like(scale), norm.eps)

    def __call__(self, x: Tensor) -> Tensor:
        both = torch.layer_norm(torch.cat((x, -x), 1), self.zero.shape, self.scale, self.zero, self.eps)
        return both[:, : x.shape[1]]


class _Product:
    """x -> x @ weight.T for the rows of several matrices together."""

    def __init__(self, *weights: Tensor):
        weight = torch.cat([w.detach() for w in weights])
        self.packed = pack_matrix(weight)  # None: ``weight`` is used
        self.weight = weight if self.packed is None else None

    def __call__(self, x: Tensor) -> Tensor:
        return multiply(x, self.packed) if self.weight is None else F.linear(x, self.weight)


class _Layer(NamedTuple):
    before: _Norm
    qkv: _Product
    out: _Product
    between: _Norm
    gates: _Product
    down: _Product

    @staticmethod
    def of(layer: Layer) -> _Layer:
        attn, mlp = layer.attn, layer.mlp
        return _Layer(
            _Norm.of(layer.sa_norm),
            _Product(attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight),
            _Product(attn.output_proj.weight),
            _Norm.of(layer.mlp_norm),
            _Product(mlp.w1.weight, mlp.w3.weight),
            _Product(mlp.w2.weight),
        )


class RowStep:
    """``Transformer.forward`` of one row of each sequence, with a cache."""

    def __init__(self, transformer: Transformer):
        self.config, self.rope = transformer.config, transformer.rope
        self.layers = [_Layer.of(layer) for layer in _layers(transformer)]
        self.norm = _Norm.of(transformer.norm)
        self._made_of = _state(transformer)

    @staticmethod
    def serves(transformer: Transformer) -> bool:
        """Whether the weights are there, in fp32 on the CPU, and few enough for a copy."""
        return is_small(transformer) and all(
            isinstance(matrix, nn.Linear) and matrix.weight is not None  # neither quantised nor offloaded
            for layer in _layers(transformer)
            for matrix in (layer.attn.q_proj, layer.mlp.w1)
        )

    def is_of(self, transformer: Transformer) -> bool:
        """Whether the weights are still those that this was made of; if one changes, all do."""
        return self._made_of == _state(transformer)

    def __call__(self, x: Tensor, positions: Tensor, cache: KVCache, window: int) -> Tensor:
        """``x`` [B, 1, D] at ``positions`` [1], or [B, 1] where each sequence has its own.

        ``window`` as for ``Transformer.forward``; at one position no more than that is read.
        """
        heads, kv_heads, size = self.config.heads, self.config.kv_heads, self.config.head_dim
        batch, rotated = len(x), heads + kv_heads
        place: tuple[slice | Tensor, slice, int | Tensor]
        if positions.dim() == 1:
            place, bias, window = (slice(None), slice(None), int(positions)), None, int(positions) + 1
        else:
            place = torch.arange(batch), slice(None), positions[:, 0]
            later = torch.arange(window) > positions
            bias = torch.zeros(batch, 1, 1, window).masked_fill_(later[:, None, None], -torch.inf)
        rotation = torch.complex(*self.rope.table[:, positions])  # [(B,) 1, H / 2]
        x = x[:, 0]
        for layer, keys, values in zip(self.layers, cache.keys.unbind(0), cache.values.unbind(0)):
            qkv = layer.qkv(layer.before(x)).view(batch, rotated + kv_heads, size)
            pairs = torch.view_as_complex(qkv[:, :rotated].unflatten(2, (-1, 2)))
            qk = torch.view_as_real(pairs * rotation).flatten(2)
            keys[place], values[place] = qk[:, heads:], qkv[:, rotated:]
            y = F.scaled_dot_product_attention(
                qk[:, :heads].view(batch, kv_heads, -1, size),
                keys[:, :, :window],
                values[:, :, :window],
                attn_mask=bias,
            )
            x = x + layer.out(y.reshape(batch, -1))
            gate, up = layer.gates(layer.between(x)).chunk(2, 1)
            x = x + layer.down(F.silu(gate) * up)
        return self.norm(x)[:, None]


def _layers(transformer: Transformer) -> list[Layer]:
    return cast("list[Layer]", list(transformer.layers))


def _state(transformer: Transformer) -> tuple[int, int]:
    return state_of(cast("Layer", transformer.layers[0]).attn.q_proj.weight)
