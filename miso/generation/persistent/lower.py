"""A model lowered to the operation list of the persistent kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...model.networks import Backbone
from ...model.transformer import KVCache, Layer, Transformer
from ..depth import DepthSampler
from ..frame import FrameState
from .limits import GpuLimits
from .ops import NO_ROW, PARTIAL_HEADER, Flag, Kind, Matrix, Source, Sums
from .program import Program


@dataclass(frozen=True, eq=False)
class Lowered:
    """The operations of a frame, and the buffers that the kernel reads besides."""

    program: Program
    ops_backbone: int  # operations before the depth decoder's, which run once per codebook
    first_logits: Sums  # of codebook 0
    logits: Sums  # of the other codebooks
    rows: Tensor  # [2, B, widest dim] residual rows


@dataclass(frozen=True, eq=False)
class _Layer:
    """A transformer layer: its norms, and its matrices, one group for each vector that they multiply."""

    attention_norm: Tensor
    mlp_norm: Tensor
    qkv: tuple[Matrix, ...]
    output: tuple[Matrix, ...]
    up: tuple[Matrix, ...]
    down: tuple[Matrix, ...]

    @staticmethod
    def of(layer: nn.Module) -> _Layer:
        assert isinstance(layer, Layer)
        attention, mlp = layer.attn, layer.mlp
        return _Layer(
            layer.sa_norm.scale.data,
            layer.mlp_norm.scale.data,
            tuple(map(Matrix.of, (attention.q_proj, attention.k_proj, attention.v_proj))),
            (Matrix.of(attention.output_proj),),
            tuple(map(Matrix.of, (mlp.w1, mlp.w3))),
            (Matrix.of(mlp.w2),),
        )


class _Stack:
    """A transformer to be lowered, and how its work is split."""

    def __init__(self, program: Program, transformer: Transformer, attention_parts: int, flags: Flag):
        self.transformer, self.attention_parts, self.flags = transformer, attention_parts, flags
        self.config = c = transformer.config
        self.layers = [_Layer.of(layer) for layer in transformer.layers]
        self.qkv_outputs = c.dim + 2 * c.kv_heads * c.head_dim
        self.qkv_parts = [program.split(m.qkv[0].kind, c.dim, self.qkv_outputs) for m in self.layers]
        self.output_parts = [program.split(m.output[0].kind, c.dim, c.dim) for m in self.layers]
        self.down_parts = [program.split(m.down[0].kind, c.inter, c.dim) for m in self.layers]


class _Activations:
    """The buffers between operations. Both stacks use them in turn, so each has the larger size."""

    def __init__(self, program: Program, stacks: tuple[_Stack, ...]):
        def most(size_of) -> int:
            return program.takes * max(map(size_of, stacks))

        self.qkv = program.buffer(most(lambda s: max(s.qkv_parts) * s.qkv_outputs))
        self.output = program.buffer(most(lambda s: max(s.output_parts) * s.config.dim))
        self.down = program.buffer(most(lambda s: max(s.down_parts) * s.config.dim))
        self.attended = program.buffer(
            most(lambda s: s.config.heads * s.attention_parts * (s.config.head_dim + PARTIAL_HEADER))
        )
        self.gated = program.buffer(most(lambda s: s.config.inter), dtype=torch.int16)
        self.rows = program.buffer(2, program.takes, max(s.config.dim for s in stacks))


def lower(backbone: Backbone, depth: DepthSampler, state: FrameState, gpu: GpuLimits) -> Lowered:
    """The operation list of one frame of all takes in ``state``, for a GPU with these limits.

    Lays ``audio_head`` of the depth decoder out anew in memory; its shape and values stay.
    """
    return _Lowering(backbone, depth, state, gpu).lower()


class _Lowering:
    def __init__(self, backbone: Backbone, depth: DepthSampler, state: FrameState, gpu: GpuLimits):
        takes, config = state.x.shape[0], backbone.config
        self.backbone, self.decoder, self.config, self.state = backbone, depth.decoder, config, state
        self.program = Program(takes, gpu.multiprocessors, gpu.shared_bytes, state.x.device)
        # A few takes have too few heads for all programs: split the context too.
        parts = 1 if takes > 4 else max(min(gpu.multiprocessors // (takes * config.backbone.kv_heads), 4), 1)
        self.backbone_stack = _Stack(self.program, backbone.transformer, parts, Flag.NONE)
        self.depth_stack = _Stack(self.program, self.decoder.transformer, 1, Flag.IN_DEPTH)
        self.activations = _Activations(self.program, (self.backbone_stack, self.depth_stack))
        self.row = NO_ROW  # the residual row that is current

    def lower(self) -> Lowered:
        summed = self.layers(self.backbone_stack, self.state.cache, None)
        first_logits, projected = self.backbone_heads(summed)
        ops_backbone = len(self.program.ops)
        cache = self.decoder.transformer.cache(self.program.takes, self.config.codebooks)
        summed = self.layers(self.depth_stack, cache, projected)
        logits = self.audio_head(summed)
        return Lowered(self.program, ops_backbone, first_logits, logits, self.activations.rows)

    def layers(self, stack: _Stack, cache: KVCache, start: Sums | None) -> Sums:
        """All layers of a stack. ``start`` and the result are sums still to be added to the residual row."""
        self.row, summed, last = NO_ROW, start, len(stack.layers) - 1
        for i in range(last + 1):
            # The depth decoder's position 0 draws no code; its last layer is only needed for key and value.
            skip = Flag.NOT_FIRST if stack is self.depth_stack and i == last else Flag.NONE
            attended = self.attention(stack, i, cache, summed)
            summed = self.mlp(stack, i, self.output(stack, i, attended, skip), skip)
        assert summed is not None  # a model has layers
        return summed

    def attention(self, stack: _Stack, i: int, cache: KVCache, summed: Sums | None) -> Sums:
        """Norm, query, key, value and attention of layer i."""
        layer, a = stack.layers[i], self.activations
        qkv = Sums(a.qkv, stack.qkv_parts[i])
        attended = Sums(a.attended, stack.attention_parts)
        self.program.matvec(
            layer.qkv,
            stack.qkv_outputs,
            Source.RESIDUAL if i else Source.BEGIN,
            summed,
            qkv,
            norm=layer.attention_norm,
            rows=self.next_row(),
        )
        self.program.attend(
            cache.keys[i],
            cache.values[i],
            stack.transformer.rope.table,
            qkv,
            attended,
            heads=stack.config.heads,
            flags=stack.flags | _written_for(layer.output),
        )
        return attended

    def output(self, stack: _Stack, i: int, attended: Sums, skip: Flag) -> Sums:
        """The attention's output projection of layer i."""
        c, summed = stack.config, Sums(self.activations.output, stack.output_parts[i])
        source = Source.ATTENDED if attended.parts > 1 else Source.VECTOR
        self.program.matvec(
            stack.layers[i].output, c.dim, source, attended, summed, heads=c.heads, flags=skip
        )
        return summed

    def mlp(self, stack: _Stack, i: int, summed: Sums, skip: Flag) -> Sums:
        """Norm and gated MLP of layer i."""
        c, layer = stack.config, stack.layers[i]
        gated, down = Sums(self.activations.gated), Sums(self.activations.down, stack.down_parts[i])
        self.program.matvec(
            layer.up,
            c.inter,
            Source.RESIDUAL,
            summed,
            gated,
            norm=layer.mlp_norm,
            rows=self.next_row(),
            flags=skip | Flag.GATED | _written_for(layer.down),
        )
        self.program.matvec(layer.down, c.dim, Source.VECTOR, gated, down, flags=skip)
        return down

    def backbone_heads(self, summed: Sums) -> tuple[Sums, Sums]:
        """Record the hidden state; logits of codebook 0, and the depth decoder's projection."""
        D = self.config.backbone.dim
        results = []
        for module, N, flag in (
            (self.backbone.codebook0_head, self.config.audio_vocab, Flag.RECORD),
            (self.decoder.projection, self.config.depth.dim, Flag.SAME_PHASE),
        ):
            matrix = Matrix.of(module)
            parts = self.program.split(matrix.kind, D, N)
            out = Sums(self.program.buffer(parts, self.program.takes, N), parts)
            norm = self.backbone.transformer.norm.scale.data
            rows = (self.row, NO_ROW)
            self.program.matvec((matrix,), N, Source.RESIDUAL, summed, out, norm=norm, rows=rows, flags=flag)
            results.append(out)
        first_logits, projected = results
        return first_logits, projected

    def audio_head(self, summed: Sums) -> Sums:
        """Logits of the codebook that follows the depth decoder's position."""
        d, V = self.config.depth.dim, self.config.audio_vocab
        head = self.decoder.audio_head
        # [K-1, d, V] -> [K-1, V, d]: a row for each output, as in linear layers
        steps = head.data.transpose(1, 2).contiguous()
        head.data = steps.transpose(1, 2)
        parts = self.program.split(Kind.BF16, d, V)
        logits = Sums(self.program.buffer(parts, self.program.takes, V), parts)
        self.program.matvec(
            (Matrix(steps),),
            V,
            Source.RESIDUAL,
            summed,
            logits,
            norm=self.decoder.transformer.norm.scale.data,
            rows=(self.row, NO_ROW),
            flags=Flag.NOT_FIRST,
            step=V * d * 2,
        )
        return logits

    def next_row(self) -> tuple[int, int]:
        """The residual row to read and the one to write; the latter becomes the current row."""
        rows = (self.row, 0 if self.row == NO_ROW else 1 - self.row)
        self.row = rows[1]
        return rows


def _written_for(matrices: tuple[Matrix, ...]) -> Flag:
    """The flag of an operation that writes the 16-bit vector which these matrices multiply."""
    return Flag.NONE if matrices[0].kind == Kind.BF16 else Flag.FP16_OUT
