"""The step of ``step.PlainFrame`` in one launch: the same state in, the same state out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import nn

from ...model.networks import Backbone
from ...model.sampling import Sampling
from ..depth import DepthSampler
from ..frame import FrameState
from .compile import Kernel, cubin, missing
from .program import FETCHERS, FP8, INT4, INT8, KINDS, WARPS, make, pitch_of


def unsupported(backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
    """Why this kernel can't serve, or None, on a GPU and for takes that ``paths`` lets through."""
    weight, decoder = backbone.audio_embeddings.weight, depth.decoder
    if torch.version.hip:
        return "it needs an NVIDIA GPU"
    if (
        weight.dtype != torch.bfloat16
        or decoder.code_table.dtype != torch.bfloat16
        or decoder.audio_head.dtype != torch.bfloat16
    ):
        return "it takes bf16, backbone and depth decoder alike"
    if decoder.code_table.device != weight.device:
        return "it needs all weights on one GPU"
    if backbone.transformer.norm.eps != decoder.transformer.norm.eps:
        return "it norms the backbone and the depth decoder alike"
    for stack in (backbone.transformer, decoder.transformer):
        c = stack.config
        if (
            c.head_dim not in (8, 16, 32, 64, 128, 256)
            or c.heads % c.kv_heads
            or c.heads > 255
            or c.dim % 8
            or c.heads * c.head_dim != c.dim
        ):
            return f"it takes heads of 8 to 256 numbers, a power of two, and this model's have {c.head_dim}"
        if stack.rope.table.shape[1] > 65535:
            return "it takes up to 65535 positions"
        for layer in stack.layers:
            a, m = layer.attn, layer.mlp
            if (
                len({p.weight.dtype for p in (a.q_proj, a.k_proj, a.v_proj)}) > 1
                or m.w1.weight.dtype != m.w3.weight.dtype
            ):
                return "it takes matrices of one type in a layer"
            if any(len(p.weight) % 8 for p in (a.q_proj, a.k_proj, m.w1)):
                return "it takes matrices of 8 rows, or a multiple, where there are several together"
    for module in (backbone, decoder):
        for name, layer in module.named_modules():
            if hasattr(layer, "weight") and not isinstance(layer, nn.Embedding):
                kind = KINDS.get(layer.weight.dtype)
                if kind is None:
                    return f"it has no product for {layer.weight.dtype} ({name})"
                if kind == FP8 and torch.cuda.get_device_capability(weight.device) < (8, 9):
                    return "fp8 needs a GPU of compute capability 8.9 or more (RTX 40, H100 or newer)"
                K = layer.weight.shape[1] * (2 if kind == INT4 else 1)
                if pitch_of(kind, K) % 16 or (kind == INT4 and K % 512) or (kind == INT8 and K % 256):
                    return f"a matrix has {K} inputs ({name})"
    warps = WARPS * torch.cuda.get_device_properties(weight.device).multi_processor_count
    if decoder.config.codebooks > 32 or takes * decoder.config.depth.heads > warps:
        return "the depth decoder has more codebooks, or heads, than it has room for"
    if decoder.config.depth.dim % 8:
        return "the depth decoder's width isn't a multiple of 8"
    return missing()


class _Frame(ctypes.Structure):
    _fields_ = (
        [
            (name, ctypes.c_uint64)
            for name in (
                "ops",
                "barrier",
                "position",
                "next_position",
                "counter",
                "u",
                "codes",
                "log_p",
                "hidden",
                "x",
                "embeddings",
                "code_table",
                "first_logits",
                "logits",
                "rows",
            )
        ]
        + [
            (name, ctypes.c_int)
            for name in (
                "ops_all",
                "others_all",
                "ops_backbone",
                "codebooks",
                "all_codebooks",
                "frames",
                "D",
                "d",
                "first_parts",
                "logits_parts",
                "top_k",
                "depth_top_k",
                "widest",
            )
        ]
        + [(name, ctypes.c_float) for name in ("temperature", "depth_temperature", "eps")]
    )


class PersistentFrame:
    """Draw a frame and embed it as the next row, as ``PlainFrame`` does."""

    @torch.no_grad()
    def __init__(self, backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState):
        self.backbone, self.depth, self.sampling, self.state = backbone, depth, sampling, state
        device, config, decoder = state.x.device, backbone.config, depth.decoder
        programs, room = self._gpu()
        with torch.inference_mode(False):
            self._made = m = make(backbone, depth, state, programs)
            self._ops = m.program.table()
            self._barrier = torch.zeros(1, dtype=torch.int32, device=device)
        self.kernel = self._compiled(
            *m.program.compiled_for(config.audio_vocab, config.codebook_size, config.codebooks, room)
        )
        self._table = decoder.code_table.data
        self._embeddings = backbone.audio_embeddings.weight.data
        s, at = state, lambda t: t.data_ptr()
        for t in (s.x, s.u, s.codes, s.log_p, s.hidden, self._table, self._embeddings):
            assert t.is_contiguous()
        self._frame = _Frame(
            at(self._ops),
            at(self._barrier),
            at(s.position),
            at(s.position),
            at(s.counter),
            at(s.u),
            at(s.codes),
            at(s.log_p),
            at(s.hidden),
            at(s.x),
            at(self._embeddings),
            at(self._table),
            at(m.first_logits),
            at(m.logits),
            at(m.rows),
            len(m.program.ops),
            len(m.program.others),
            m.ops_backbone,
            depth.codebooks,
            config.codebooks,
            s.u.shape[1],
            config.backbone.dim,
            config.depth.dim,
            m.first_parts,
            m.logits_parts,
            sampling.top_k,
            depth.sampling.top_k,
            m.widest,
            sampling.temperature,
            depth.sampling.temperature,
            config.norm_eps,
        )

    def _gpu(self) -> tuple[int, int]:
        """Its multiprocessors, and the bytes of shared memory that a program on one of them can have."""
        facts = torch.cuda.get_device_properties(self.state.x.device)
        return facts.multi_processor_count, facts.shared_memory_per_block_optin

    def _compiled(self, macros: dict[str, int], shared: int) -> Callable[[ctypes.Structure, int], None]:
        device = self.state.x.device
        major, minor = torch.cuda.get_device_capability(device)
        binary, _ = cubin(f"{major}{minor}", tuple(macros.items()))
        with torch.cuda.device(device):
            return Kernel(binary, shared, self._gpu()[0], 32 * (WARPS + FETCHERS))

    def __call__(self, window: int | None = None) -> None:
        device = self.state.x.device
        with torch.cuda.device(device):
            self._barrier.zero_()
            self.kernel(self._frame, torch.cuda.current_stream(device).cuda_stream)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Pieces of a frame to be timed alone: one launch has none."""
        return {}
