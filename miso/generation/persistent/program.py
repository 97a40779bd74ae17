"""The list of operations that the kernel of ``frame.cu`` goes through, and the numbers that it is compiled for."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import ceil

import torch
from torch import Tensor, nn

from ...errors import MisoError
from ...model.networks import Backbone
from ...model.transformer import KVCache, Transformer
from ..depth import DepthSampler
from ..frame import FrameState

MATVEC, ATTEND = range(2)
BF16, INT8, INT4, FP8 = range(4)
RESIDUAL, ATTENDED, VECTOR, BEGIN = range(4)
GATED, SAME_PHASE, NOT_FIRST, RECORD, IN_DEPTH, FP16_OUT = 1, 2, 4, 8, 16, 32
KINDS = {torch.bfloat16: BF16, torch.int8: INT8, torch.uint8: INT4, torch.float8_e4m3fn: FP8}
_NONE = 2  # of the residual rows
WARPS = 8  # that multiply: the fewer there are, the less they wait for each other, and the more registers each has
FETCHERS = (
    4  # warps besides: two can't fetch as fast as memory gives, and eight leave the others too few registers
)

_OP = struct.Struct("<6Qq2i8B2BH2BH")
_OTHER = struct.Struct("<3Qq")
_PLAN = 24
_ROW = 256  # bytes of a row in a stage
_FACTS = 4  # numbers before what a part of the context was attended to
_FINE = {BF16: 0, INT8: 64, INT4: 256, FP8: 0}  # bytes of scales and zeros in a stage
_INPUTS = {BF16: 256, INT8: 512, INT4: 1024, FP8: 512}  # bytes of x that a stage takes
_FAST, _NEAR = (
    22.5,
    40,
)  # bytes a ns: of weights from memory to a multiprocessor, and of what all of them read from the second cache


def pitch_of(kind: int, K: int) -> int:
    return K * 2 if kind == BF16 else K // 2 if kind == INT4 else K


@dataclass(eq=False)
class Matrix:
    weight: Tensor
    scale: Tensor | None = None
    zero: Tensor | None = None

    @property
    def kind(self) -> int:
        return KINDS[self.weight.dtype]

    @property
    def K(self) -> int:
        return self.weight.shape[-1] * (2 if self.kind == INT4 else 1)

    @staticmethod
    def of(module: nn.Module) -> Matrix:
        return Matrix(
            *(
                getattr(module, name).data.contiguous() if hasattr(module, name) else None
                for name in ("weight", "scale", "zero")
            )
        )


@dataclass(eq=False)
class Program:
    """What is launched: the list, and what it is compiled with."""

    takes: int
    programs: int  # multiprocessors
    device: torch.device
    ops: list[bytes] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)  # matrices but for the first of an operation's
    keep: list[object] = field(default_factory=list)  # tensors that the list points to
    sums: int = 0  # of the product that has most, and the fewest bytes that serve
    least_sums: int = 0
    plans: dict[tuple, int] = field(default_factory=dict)
    widest: int = 0
    scratch: int = 0
    group: int = 1
    widest_head: int = 8
    depth_head: int = 8
    kinds: int = 0  # a bit for each

    def buffer(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        t = torch.zeros(shape, device=self.device, dtype=dtype)
        self.keep.append(t)
        return t

    def x_bytes(self, kind: int, K: int, parts: int) -> int:
        size = _share(pitch_of(kind, K), parts)
        return self.takes * (-(-size // _ROW) * _INPUTS[kind] + 64)

    def split(self, kind: int, K: int, N: int) -> int:
        """Over how many groups of programs K is split."""
        tiles, pitch, limit = -(-N // 8), pitch_of(kind, K), 34_816 + (self.takes - 1) * 4_864
        can = [p for p in range(1, 5) if p <= self.programs and _share(pitch, p) * (p - 1) < pitch]
        fits = [p for p in can if self.x_bytes(kind, K, p) <= limit] or can[-1:]
        # the longest share of the weights, and then what every program reads of the sums
        return min(
            fits,
            key=lambda p: (
                -(-tiles // (self.programs // p)) * 8 * _share(pitch, p) / _FAST
                + p * self.takes * N * 4 / _NEAR
            ),
        )

    def matvec(
        self,
        matrices: tuple[Matrix, ...],
        N: int,
        source: int,
        out: Tensor,
        *,
        norm: Tensor | None = None,
        of: Tensor | None = None,
        in_parts: int = 1,
        parts: int = 1,
        rows: tuple[int, int] = (_NONE, _NONE),
        flags: int = 0,
        heads: int = 0,
        step: int = 0,
    ) -> None:
        """The matrices, up to three, have the outputs one after the other; gated: the second has as many as the first, N."""
        m = matrices[0]
        kind, K = m.kind, m.K
        self.keep += [*matrices, norm]
        plan = self.plans.setdefault((kind, K, N, parts, flags & GATED), len(self.plans))
        self._op(
            m.weight,
            m.scale,
            m.zero,
            norm,
            of,
            out,
            step,
            K,
            N,
            MATVEC,
            kind,
            source,
            in_parts,
            parts,
            *rows,
            flags,
            heads,
            0,
            0,
            plan,
            len(matrices) - 1,
            len(self.others),
        )
        row = 0
        for above, other in zip(matrices, matrices[1:]):
            row += len(above.weight)
            self.others.append(_OTHER.pack(*_at(other.weight, other.scale, other.zero), row))
        pitch, tiles, share = pitch_of(kind, K), -(-N // 8), _share(pitch_of(kind, K), parts)
        units = -(-tiles // (self.programs // parts)) * (2 if flags & GATED else 1)
        for part in range(parts):
            stages = max(-(-min(share, pitch - part * share) // _ROW), 1)
            each = min(stages, WARPS) * self.takes * 32
            self.sums, self.least_sums = (
                max(self.sums, units * each),
                max(self.least_sums, min(units, 2) * each),
            )
        self.scratch = max(self.scratch, self.x_bytes(kind, K, parts))
        self.kinds |= 1 << kind
        if norm is not None:
            self.widest = max(self.widest, K)

    def attend(
        self,
        keys: Tensor,
        values: Tensor,
        table: Tensor,
        qkv: Tensor,
        in_parts: int,
        out: Tensor,
        parts: int,
        heads: int,
        flags: int,
    ) -> None:
        kv, capacity, hd = keys.shape[1:]
        self.keep += [keys, values, table]
        self._op(
            keys,
            values,
            table,
            None,
            qkv,
            out,
            0,
            hd,
            capacity,
            ATTEND,
            0,
            0,
            in_parts,
            parts,
            _NONE,
            _NONE,
            flags,
            heads,
            kv,
            table.shape[1],
            0,
            0,
            0,
        )
        self.group = max(self.group, heads // kv)
        self.widest_head = max(self.widest_head, hd)
        if flags & IN_DEPTH:
            self.depth_head = hd

    def _attention_scratch(self, hd: int) -> int:
        return ((self.group + 2) * hd + WARPS // 2 * self.group * (hd + 2)) * 4

    def _op(self, w, scale, zero, norm, of, out, *numbers: int) -> None:
        self.ops.append(_OP.pack(*_at(w, scale, zero, norm, of, out), *numbers))

    def table(self) -> Tensor:
        return torch.frombuffer(bytearray(b"".join(self.ops + self.others)), dtype=torch.uint8).to(
            self.device
        )

    def compiled_for(self, vocab: int, size: int, codebooks: int, shared: int) -> tuple[dict[str, int], int]:
        """Macros, and bytes of shared memory, of which the device has ``shared`` for a program."""
        listed = len(self.ops) * _OP.size + len(self.others) * _OTHER.size
        stage = 8 * _ROW + max(extra for kind, extra in _FINE.items() if self.kinds >> kind & 1)
        scratch = (
            -(
                -max(
                    self.scratch,
                    self._attention_scratch(self.widest_head),
                    4 * vocab,
                    WARPS * 3 * self.widest_head * 4,
                )
                // 128
            )
            * 128
        )
        sums = -(-max(self.least_sums, min(self.sums, 14_336 + 2_048 * self.takes)) // 128) * 128
        rest = (
            scratch
            + sums
            + listed
            + -(-len(self.plans) * _PLAN // 16) * 16
            + WARPS * max(self.takes, 4) * 4
            + 48
            + -(-self.takes * codebooks * 4 // 16) * 16
        )
        depth = min((shared - rest) // (WARPS * (stage + 16)), 32)
        if depth < 2:
            raise MisoError(
                f"The GPU's shared memory ({shared} bytes) is too small for {self.takes} takes in the persistent kernel.",
                "Use the path auto.",
                input="path",
            )
        macros = {
            "TAKES": self.takes,
            "WARPS": WARPS,
            "RING": depth * WARPS,
            "STAGE": stage,
            "FETCHERS": FETCHERS,
            "SUMS": sums,
            "SCRATCH": scratch,
            "PLANS": len(self.plans),
            "WIDEST": self.widest,
            "GROUP": self.group,
            "VOCAB": vocab,
            "SIZE": size,
            "CODEBOOKS": codebooks,
            "MOST_HD": self.depth_head,
            "KINDS": self.kinds,
        }
        return macros, rest + depth * WARPS * (stage + 16)


def _at(*tensors: Tensor | None) -> tuple[int, ...]:
    return tuple(0 if t is None else t.data_ptr() for t in tensors)


def _share(pitch: int, parts: int) -> int:
    """Bytes of a row that each of the parts reads, as ``plan_of`` has it."""
    return (ceil(pitch / parts) + _ROW - 1) // _ROW * _ROW


@dataclass(eq=False)
class Made:
    """A program, and the buffers that the frame points to."""

    program: Program
    ops_backbone: int
    first_logits: Tensor
    logits: Tensor
    rows: Tensor
    widest: int
    first_parts: int
    logits_parts: int
    audio_head: Tensor
    depth_cache: KVCache


def make(backbone: Backbone, depth: DepthSampler, state: FrameState, programs: int) -> Made:
    takes, device, decoder, config = state.x.shape[0], state.x.device, depth.decoder, backbone.config
    p = Program(takes, programs, device)
    stacks = (backbone.transformer, decoder.transformer)
    attention_parts = (1 if takes > 4 else max(min(programs // (takes * config.backbone.kv_heads), 4), 1), 1)
    matrices = [[_of_layer(layer) for layer in stack.layers] for stack in stacks]
    head, projection = (Matrix.of(backbone.codebook0_head),), (Matrix.of(decoder.projection),)
    laid_out = decoder.audio_head.data.transpose(1, 2).contiguous()  # [steps, V, d]
    decoder.audio_head.data = laid_out.transpose(1, 2)
    audio_head = (Matrix(laid_out),)

    # both stacks share these
    most_qkv, most_o, most_down, most_y, most_h = (1,) * 5
    for stack, layers, ap in zip(stacks, matrices, attention_parts):
        c = stack.config
        nt = c.dim + 2 * c.kv_heads * c.head_dim
        for qkv, o, _, down in layers:
            most_qkv = max(most_qkv, p.split(qkv[0].kind, c.dim, nt) * takes * nt)
            most_o = max(most_o, p.split(o[0].kind, c.dim, c.dim) * takes * c.dim)
            most_down = max(most_down, p.split(down[0].kind, c.inter, c.dim) * takes * c.dim)
        most_y = max(most_y, takes * c.heads * ap * (c.head_dim + _FACTS))
        most_h = max(most_h, takes * c.inter)
    qkv_sums, o_sums, down_sums, y = (p.buffer(n) for n in (most_qkv, most_o, most_down, most_y))
    h = p.buffer(most_h, dtype=torch.int16)
    widest = max(s.config.dim for s in stacks)
    rows = p.buffer(2, takes, widest)
    depth_cache = decoder.transformer.cache(takes, config.codebooks)
    p.keep.append(depth_cache)

    def through(
        stack: Transformer,
        layers: list,
        cache: KVCache,
        ap: int,
        flags: int,
        start: Tensor | None,
        start_parts: int,
    ) -> tuple[int, int]:
        """Which row the last sums belong to, and how many parts of them there are."""
        c, row, parts = stack.config, _NONE, start_parts
        nt = c.dim + 2 * c.kv_heads * c.head_dim
        for i, (qkv, o, up, down) in enumerate(layers):
            layer, to = stack.layers[i], 0 if row == _NONE else 1 - row
            own = p.split(qkv[0].kind, c.dim, nt)
            p.matvec(
                qkv,
                nt,
                RESIDUAL if i else BEGIN,
                qkv_sums,
                norm=layer.sa_norm.scale.data,
                of=down_sums if i else start,
                in_parts=parts,
                parts=own,
                rows=(row, to),
            )
            row = to
            skipped = NOT_FIRST if flags & IN_DEPTH and i + 1 == len(layers) else 0
            p.attend(
                cache.keys[i],
                cache.values[i],
                stack.rope.table,
                qkv_sums,
                own,
                y,
                ap,
                c.heads,
                flags | (0 if o[0].kind == BF16 else FP16_OUT),
            )
            own = p.split(o[0].kind, c.dim, c.dim)
            p.matvec(
                o,
                c.dim,
                ATTENDED if ap > 1 else VECTOR,
                o_sums,
                of=y,
                in_parts=ap,
                parts=own,
                heads=c.heads,
                flags=skipped,
            )
            p.matvec(
                up,
                c.inter,
                RESIDUAL,
                h,
                norm=layer.mlp_norm.scale.data,
                of=o_sums,
                in_parts=own,
                rows=(row, 1 - row),
                flags=skipped | GATED | (0 if down[0].kind == BF16 else FP16_OUT),
            )
            row = 1 - row
            parts = p.split(down[0].kind, c.inter, c.dim)
            p.matvec(down, c.dim, VECTOR, down_sums, of=h, parts=parts, flags=skipped)
        return row, parts

    row, parts = through(backbone.transformer, matrices[0], state.cache, attention_parts[0], 0, None, 1)
    D, d, V = config.backbone.dim, config.depth.dim, config.audio_vocab
    first_parts, projection_parts, logits_parts = (
        p.split(head[0].kind, D, V),
        p.split(projection[0].kind, D, d),
        p.split(BF16, d, V),
    )
    first_logits, logits = p.buffer(first_parts, takes, V), p.buffer(logits_parts, takes, V)
    projected = p.buffer(projection_parts, takes, d)
    norm = backbone.transformer.norm.scale.data
    p.matvec(
        head,
        V,
        RESIDUAL,
        first_logits,
        norm=norm,
        of=down_sums,
        in_parts=parts,
        parts=first_parts,
        rows=(row, _NONE),
        flags=RECORD,
    )
    p.matvec(
        projection,
        d,
        RESIDUAL,
        projected,
        norm=norm,
        of=down_sums,
        in_parts=parts,
        parts=projection_parts,
        rows=(row, _NONE),
        flags=SAME_PHASE,
    )
    ops_backbone = len(p.ops)
    row, parts = through(
        decoder.transformer,
        matrices[1],
        depth_cache,
        attention_parts[1],
        IN_DEPTH,
        projected,
        projection_parts,
    )
    p.matvec(
        audio_head,
        V,
        RESIDUAL,
        logits,
        norm=decoder.transformer.norm.scale.data,
        of=down_sums,
        in_parts=parts,
        parts=logits_parts,
        rows=(row, _NONE),
        flags=NOT_FIRST,
        step=V * d * 2,
    )
    return Made(
        p, ops_backbone, first_logits, logits, rows, widest, first_parts, logits_parts, laid_out, depth_cache
    )


def _of_layer(layer: nn.Module) -> tuple[tuple[Matrix, ...], ...]:
    a, m = layer.attn, layer.mlp
    return tuple(
        tuple(map(Matrix.of, modules))
        for modules in ((a.q_proj, a.k_proj, a.v_proj), (a.output_proj,), (m.w1, m.w3), (m.w2,))
    )
