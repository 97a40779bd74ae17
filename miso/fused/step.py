"""The step of ``step.PlainFrame`` in fused kernels: the same state in, the same state out."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from ..depth import DepthSampler
from ..model import Backbone
from ..sampling import Sampling
from ..step import FrameState
from ..transformer import KVCache, Transformer


def unsupported(backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
    """Why these kernels can't serve, or None, on a GPU and for takes that ``paths`` lets through."""
    if find_spec("triton") is None:
        return "the package triton isn't installed"
    dtype = backbone.audio_embeddings.weight.dtype
    if dtype != depth.decoder.code_table.dtype or dtype not in (torch.bfloat16, torch.float32):
        return "it takes bf16 or fp32, backbone and depth decoder alike"
    if any(t.dtype == torch.float8_e4m3fn for part in (backbone, depth.decoder) for t in part.buffers()):
        return "it has no product for fp8"
    return None


class Stack:
    """One row a take (or S of them) through a transformer, over its cache."""

    def __init__(self, transformer: Transformer, rows: int, cache: KVCache, pdl: bool):
        from .attention import Attention
        from .matvec import Launcher, Matrix

        config, device = transformer.config, transformer.norm.scale.device
        self.cache, self.table, self.norm = cache, transformer.rope.table, transformer.norm.scale.data
        self.kernels = Launcher(rows, transformer.norm.eps, pdl)
        self.attention = Attention(rows, config.heads, cache.keys[0], pdl)
        self.layers = [(layer.sa_norm.scale.data, layer.mlp_norm.scale.data,
                        *map(Matrix.of, (layer.attn.q_proj, layer.attn.k_proj, layer.attn.v_proj, layer.attn.output_proj, layer.mlp.w1,
                                         layer.mlp.w2, layer.mlp.w3))) for layer in transformer.layers]
        self.q, self.y = torch.empty(2, rows, config.dim, device=device)
        self.h = torch.empty(rows, config.inter, device=device)

    def __call__(self, x: Tensor, position: Tensor) -> None:
        """Take x [R, D] fp32, in place, through all layers at position [S]; what comes next norms it itself."""
        for i, (sa_norm, mlp_norm, q, k, v, o, w1, w2, w3) in enumerate(self.layers):
            keys, values = self.cache.keys[i], self.cache.values[i]
            self.kernels.qkv(x, sa_norm, q, k, v, self.table, position, self.q, keys, values)
            self.attention(self.q, keys, values, position, self.y)
            self.kernels.linear(self.y, o, x, add=True)
            self.kernels.gated(x, mlp_norm, w1, w3, self.h)
            self.kernels.linear(self.h, w2, x, add=True)


class FusedFrame:
    """Draw a frame and embed it as the next row, as ``PlainFrame`` does. ``overlap``: kernels begin before their predecessors end; None
    where the GPU can (Hopper and newer).
    """

    def __init__(self, backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState, overlap: bool | None = None):
        from .draw import Drawing
        from .matvec import Launcher, Matrix

        device, B = state.x.device, state.x.shape[0]
        pdl = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0) if overlap is None else overlap
        self.backbone, self.depth, self.sampling, self.state = backbone, depth, sampling, state
        decoder, config = depth.decoder, backbone.config
        self.drawing = Drawing(state, config.audio_vocab, config.codebook_size, pdl)
        self.kernels = Launcher(B, config.norm_eps, pdl)
        self.x = torch.empty(B, config.backbone.dim, device=device)
        self.stack = Stack(backbone.transformer, B, state.cache, pdl)
        self.c0_head, self.projection = Matrix.of(backbone.codebook0_head), Matrix.of(decoder.projection)
        self.logits = torch.empty(B, config.audio_vocab, device=device)
        # the depth decoder: its first step has two rows a take, the hidden state and codebook 0
        self.pair = torch.empty(B, 2, config.depth.dim, device=device)
        self.row = torch.empty(B, config.depth.dim, device=device)
        # row k: k and k + 1. A row is 16 bytes, so that each is as well aligned as the next and one kernel serves them all
        self.positions = torch.arange(depth.codebooks, device=device)[:, None] + torch.arange(2, device=device)
        cache = decoder.transformer.cache(B, config.codebooks)
        self.first, self.later = (Stack(decoder.transformer, rows, cache, pdl) for rows in (2 * B, B))

    def __call__(self, window: int | None = None) -> None:
        self.run_backbone()
        self.run_depth()
        self.drawing.end(self.backbone.audio_embeddings.weight)

    def run_backbone(self) -> None:
        """The hidden state, and codebook 0 drawn."""
        stack, drawing, codebooks = self.stack, self.drawing, self.depth.codebooks
        drawing.begin(self.x)
        stack(self.x, self.state.position)
        drawing.norm(self.x, stack.norm, self.kernels.eps)
        self.kernels.linear(self.x, self.c0_head, self.logits, norm=stack.norm)
        drawing.draw(self.logits, self.sampling, 0, *self._next(0, codebooks, self.pair[:, 1]))

    def run_depth(self) -> None:
        """The other codebooks."""
        decoder, codebooks = self.depth.decoder, self.depth.codebooks
        if codebooks < 2:
            return
        self.kernels.linear(self.x, self.projection, self.pair[:, 0], norm=self.stack.norm)
        for k in range(1, codebooks):
            if k == 1:
                self.first(self.pair.flatten(0, 1), self.positions[0])
            else:
                self.later(self.row, self.positions[k, :1])
            self.kernels.head(self.pair[:, 1] if k == 1 else self.row, self.later.norm, decoder.audio_head[k - 1], self.logits)
            self.drawing.draw(self.logits, self.depth.sampling, k, *self._next(k, codebooks, self.row))

    def parts(self) -> dict[str, Callable[[], object]]:
        """Pieces of a frame to be timed alone."""
        return {"backbone": self.run_backbone, "depth": self.run_depth,
                "sampling": lambda: [self.drawing.draw(self.logits, self.depth.sampling, k, None, None) for k in range(self.depth.codebooks)]}

    def _next(self, codebook: int, codebooks: int, row: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Where a drawn code goes: to the next step's input, unless it is the last."""
        return (self.depth.decoder.code_table, row) if codebook + 1 < codebooks else (None, None)
