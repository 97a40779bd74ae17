"""``frame.PlainFrame`` in one kernel launch: the same state in, the same state out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...model.networks import Backbone
from ...model.sampling import Sampling
from ...model.transformer import Layer, Transformer
from ...nvrtc import Kernel, cubin, missing
from ..depth import DepthSampler
from ..frame import FrameState
from .limits import GpuLimits, gpu_limits
from .lower import lower
from .ops import KINDS, Kind, row_bytes
from .program import FETCHERS, WARPS
from .source import source

MAX_TAKES = 8  # columns of a tensor core tile


def unsupported(backbone: Backbone, depth: DepthSampler, takes: int) -> str | None:
    """Why the kernel can't compute ``takes`` takes of these models, as a clause; None if it can.

    ``paths`` has checked already that the backbone is on a GPU.
    """
    weight, decoder = backbone.audio_embeddings.weight, depth.decoder
    if torch.version.hip:
        return "it needs an NVIDIA GPU"
    if any(t.dtype != torch.bfloat16 for t in (weight, decoder.code_table, decoder.audio_head)):
        return "it needs the backbone and the depth decoder in bf16"
    if decoder.code_table.device != weight.device:
        return "it needs all weights on one GPU"
    theirs, own = backbone.config, decoder.config
    if (theirs.depth, theirs.audio_vocab) != (own.depth, own.audio_vocab):
        return "it needs a depth decoder of the sizes that the backbone's own checkpoint has"
    if backbone.transformer.norm.eps != decoder.transformer.norm.eps:
        return "it needs one norm epsilon for the backbone and the depth decoder"
    for stack in (backbone.transformer, decoder.transformer):
        if reason := _unsupported_stack(stack):
            return reason
    for module in (backbone, decoder):
        for name, layer in module.named_modules():
            if hasattr(layer, "weight") and not isinstance(layer, nn.Embedding):
                if reason := _unsupported_weight(name, layer.weight):
                    return reason
    programs = gpu_limits(weight.device).multiprocessors
    if decoder.config.codebooks > 32 or min(takes, MAX_TAKES) * decoder.config.depth.heads > WARPS * programs:
        return "the depth decoder has too many codebooks or heads for it"
    if decoder.config.depth.dim % 8:
        return "it needs a depth decoder whose width is a multiple of 8"
    return missing()


def _unsupported_stack(stack: Transformer) -> str | None:
    c = stack.config
    if (
        c.head_dim not in (8, 16, 32, 64, 128, 256)
        or c.heads % c.kv_heads
        or c.heads > 255
        or c.dim % 8
        or c.heads * c.head_dim != c.dim
    ):
        return f"it needs heads of 8, 16, 32, 64, 128 or 256 numbers; this model's have {c.head_dim}"
    if stack.rope.table.shape[1] > 65535:
        return "it supports up to 65535 positions"
    for layer in stack.layers:
        assert isinstance(layer, Layer)
        a, m = layer.attn, layer.mlp
        if (
            len({p.weight.dtype for p in (a.q_proj, a.k_proj, a.v_proj)}) > 1
            or m.w1.weight.dtype != m.w3.weight.dtype
        ):
            return "it needs the query, key and value matrices of a layer in one dtype, and w1 and w3 too"
        if any(len(p.weight) % 8 for p in (a.q_proj, a.k_proj, m.w1)):
            return "it needs query, key and w1 matrices whose rows are a multiple of 8"
    return None


def _unsupported_weight(name: str, weight: Tensor) -> str | None:
    kind = KINDS.get(weight.dtype)
    if kind is None:
        return f"it can't multiply {weight.dtype} ({name})"
    if kind == Kind.FP8 and torch.cuda.get_device_capability(weight.device) < (8, 9):
        return "fp8 needs a GPU of compute capability 8.9 or more (RTX 40, H100 or newer)"
    K = weight.shape[1] * (2 if kind == Kind.INT4 else 1)
    if row_bytes(kind, K) % 16 or (kind == Kind.INT4 and K % 512) or (kind == Kind.INT8 and K % 256):
        return f"it can't multiply a {kind.name.lower()} matrix of {K} inputs ({name})"
    return None


_POINTERS = """
    ops barrier position next_position counter u codes log_p hidden x embeddings code_table
    first_logits logits rows
""".split()
_NUMBERS = """
    ops_all others_all ops_backbone codebooks all_codebooks frames D d first_parts logits_parts
    top_k depth_top_k widest
""".split()


class _Frame(ctypes.Structure):
    """``Frame`` in plan.cuh."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in _POINTERS),
        *((name, ctypes.c_int) for name in _NUMBERS),
        *((name, ctypes.c_float) for name in ("temperature", "depth_temperature", "eps")),
    ]


class PersistentFrame:
    """Draws one frame of every take and embeds it as the next row, as ``PlainFrame`` does."""

    @torch.no_grad()
    def __init__(self, backbone: Backbone, depth: DepthSampler, sampling: Sampling, state: FrameState):
        self.backbone, self.depth, self.sampling, self.state = backbone, depth, sampling, state
        config = backbone.config
        with torch.inference_mode(False):
            self._lowered = lower(backbone, depth, state, self._gpu())
            self._ops = self._lowered.program.table()
            self._barrier = torch.zeros(1, dtype=torch.int32, device=state.x.device)
        constants = self._lowered.program.constants(
            config.audio_vocab, config.codebook_size, config.codebooks
        )
        self.kernel = self._compiled(*constants)
        self._frame = self._arguments()

    def _arguments(self) -> _Frame:
        """The kernel's parameter. It points to tensors of the state, the model and ``_lowered``."""
        lowered, state, config = self._lowered, self.state, self.backbone.config
        tensors = {
            "ops": self._ops,
            "barrier": self._barrier,
            "position": state.position,
            "next_position": state.position,
            "counter": state.counter,
            "u": state.u,
            "codes": state.codes,
            "log_p": state.log_p,
            "hidden": state.hidden,
            "x": state.x,
            "embeddings": self.backbone.audio_embeddings.weight.data,
            "code_table": self.depth.decoder.code_table.data,
            "first_logits": lowered.first_logits.tensor,
            "logits": lowered.logits.tensor,
            "rows": lowered.rows,
        }
        assert all(t.is_contiguous() for t in tensors.values())
        return _Frame(
            **{name: t.data_ptr() for name, t in tensors.items()},
            ops_all=len(lowered.program.ops),
            others_all=len(lowered.program.others),
            ops_backbone=lowered.ops_backbone,
            codebooks=self.depth.codebooks,
            all_codebooks=config.codebooks,
            frames=state.u.shape[1],
            D=config.backbone.dim,
            d=config.depth.dim,
            first_parts=lowered.first_logits.parts,
            logits_parts=lowered.logits.parts,
            top_k=self.sampling.top_k,
            depth_top_k=self.depth.sampling.top_k,
            widest=lowered.rows.shape[-1],
            temperature=self.sampling.temperature,
            depth_temperature=self.depth.sampling.temperature,
            eps=config.norm_eps,
        )

    def _gpu(self) -> GpuLimits:
        """What the kernel may use; each multiprocessor runs one program."""
        return gpu_limits(self.state.x.device)

    def _compiled(self, macros: dict[str, int], shared: int) -> Callable[[ctypes.Structure, int], None]:
        device, threads = self.state.x.device, 32 * (WARPS + FETCHERS)
        major, minor = torch.cuda.get_device_capability(device)
        binary, _ = cubin(source(), f"{major}{minor}", tuple(macros.items()))
        with torch.cuda.device(device):
            kernel = Kernel(binary, "frame", threads=threads, shared=shared, cooperative=True)
        programs = self._gpu().multiprocessors
        return lambda frame, stream: kernel(frame, programs, stream)

    def __call__(self, window: int | None = None) -> None:
        device = self.state.x.device
        with torch.cuda.device(device):
            self._barrier.zero_()
            self.kernel(self._frame, torch.cuda.current_stream(device).cuda_stream)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Pieces of a frame to be timed alone: none, since a frame is one launch."""
        return {}
