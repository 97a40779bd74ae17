"""The operation list of the persistent kernel, and the constants that the kernel is compiled with."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import MisoError
from .ops import (
    NO_ROW,
    OP_BYTES,
    OTHER_BYTES,
    PLAN_BYTES,
    Flag,
    Kind,
    Matrix,
    Op,
    OpType,
    Other,
    Source,
    Sums,
    row_bytes,
)

# Warps that multiply: with fewer, they wait less for each other, and each has more registers.
WARPS = 8
# Warps that fetch weights: two can't keep up with memory, and eight leave the other warps too few registers.
FETCHERS = 4

_LEAST_STAGES = 2  # of a warp: one that arrives while the other is used
_STAGE_ROW = 256  # bytes of one row of a matrix in a stage, which is 8 rows
_SCALE_BYTES = {Kind.BF16: 0, Kind.INT8: 64, Kind.INT4: 256, Kind.FP8: 0}  # of scales and zeros in a stage
_INPUT_BYTES = {Kind.BF16: 256, Kind.INT8: 512, Kind.INT4: 1024, Kind.FP8: 512}  # of x for a stage
_MEMORY_BANDWIDTH = 22.5  # bytes/ns of weights from memory to one multiprocessor
_L2_BANDWIDTH = 40  # bytes/ns of what every multiprocessor reads from the L2 cache


class SharedMemoryError(MisoError):
    """The GPU has too little shared memory for this many takes."""


@dataclass(eq=False)
class Program:
    """A list of operations for ``takes`` takes on a GPU of ``programs`` multiprocessors.

    Each has ``shared`` bytes of shared memory for a program.

    The packed list holds addresses only; this object owns the tensors behind them.
    """

    takes: int
    programs: int
    shared: int
    device: torch.device
    ops: list[Op] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    _plans: dict[tuple, int] = field(default_factory=dict)  # sizes of a product -> its plan

    def buffer(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, device=self.device, dtype=dtype)

    def split(self, kind: Kind, K: int, N: int) -> int:
        """Into how many parts to split K in a product of N outputs: the fastest number by estimate."""
        tiles, pitch = -(-N // 8), row_bytes(kind, K)
        # bytes of shared memory for x; the rest is for weights on their way
        limit = min(34_816 + (self.takes - 1) * 4_864, int(self.shared * (0.16 + 0.04 * (self.takes - 1))))
        possible = [p for p in range(1, 5) if p <= self.programs and _share(pitch, p) * (p - 1) < pitch]
        fitting = [p for p in possible if self._input_bytes(kind, K, p) <= limit] or possible[-1:]

        def nanoseconds(parts: int) -> float:
            # the weights of the program that has most, and the sums that every program reads afterwards
            weights = -(-tiles // (self.programs // parts)) * 8 * _share(pitch, parts)
            sums = parts * self.takes * N * 4
            return weights / _MEMORY_BANDWIDTH + sums / _L2_BANDWIDTH

        return min(fitting, key=nanoseconds)

    def matvec(
        self,
        matrices: tuple[Matrix, ...],
        N: int,
        source: Source,
        input: Sums | None,
        out: Sums,
        *,
        norm: Tensor | None = None,
        rows: tuple[int, int] = (NO_ROW, NO_ROW),
        flags: Flag = Flag.NONE,
        heads: int = 0,
        step: int = 0,
    ) -> None:
        """Multiply a vector by up to three matrices, N outputs together (GATED: two matrices of N rows)."""
        first = matrices[0]
        sizes = (first.kind, first.K, N, out.parts, flags & Flag.GATED)
        op = Op(
            type=OpType.MATVEC,
            w=first.weight,
            scale=first.scale,
            zero=first.zero,
            norm=norm,
            input=input.tensor if input else None,
            out=out.tensor,
            step=step,
            K=first.K,
            N=N,
            kind=first.kind,
            source=source,
            in_parts=input.parts if input else 1,
            parts=out.parts,
            rows=rows,
            flags=flags,
            heads=heads,
            plan=self._plans.setdefault(sizes, len(self._plans)),
            others=len(matrices) - 1,
            first_other=len(self.others),
        )
        self.ops.append(op)
        row = 0
        for above, matrix in zip(matrices, matrices[1:]):
            row += len(above.weight)
            self.others.append(Other(matrix, row))

    def attend(
        self, keys: Tensor, values: Tensor, rope: Tensor, qkv: Sums, out: Sums, *, heads: int, flags: Flag
    ) -> None:
        """Attention over a layer's cache [B, KV, capacity, H], to which the new key and value are added."""
        _, kv_heads, capacity, head_dim = keys.shape
        op = Op(
            type=OpType.ATTEND,
            w=keys,
            scale=values,
            zero=rope,
            input=qkv.tensor,
            out=out.tensor,
            K=head_dim,
            N=capacity,
            in_parts=qkv.parts,
            parts=out.parts,
            flags=flags,
            heads=heads,
            kv_heads=kv_heads,
            positions=rope.shape[1],
        )
        self.ops.append(op)

    def table(self) -> Tensor:
        """The packed list on the device: every ``Op``, then every ``Other``."""
        entries = [*(op.pack() for op in self.ops), *(other.pack() for other in self.others)]
        packed = bytearray(b"".join(entries))
        return torch.frombuffer(packed, dtype=torch.uint8).to(self.device)

    def constants(self, vocab: int, size: int, codebooks: int) -> tuple[dict[str, int], int]:
        """The macros that the kernel is compiled with (see frame.cu), and its bytes of shared memory.

        ``vocab``: logits of a codebook; ``size``: ids that may be drawn. Raises SharedMemoryError if the GPU
        has too little.
        """
        products = [op for op in self.ops if op.type == OpType.MATVEC]
        attentions = [op for op in self.ops if op.type == OpType.ATTEND]
        kinds = {op.kind for op in products}
        group = max(op.heads // op.kv_heads for op in attentions)
        head_dim = max(op.K for op in attentions)
        stage = 8 * _STAGE_ROW + max(_SCALE_BYTES[kind] for kind in kinds)
        inputs = max(self._input_bytes(op.kind, op.K, op.parts) for op in products)
        attention = ((group + 2) * head_dim + WARPS // 2 * group * (head_dim + 2)) * 4
        scratch = _round_up(max(inputs, attention, 4 * vocab, WARPS * 3 * head_dim * 4), 128)
        all_sums, least_sums = (max(sizes) for sizes in zip(*map(self._sum_bytes, products)))
        # everything but sums and the ring of stages, as the kernel ``frame`` lays it out
        fixed = (
            scratch
            + len(self.ops) * OP_BYTES
            + len(self.others) * OTHER_BYTES
            + _round_up(len(self._plans) * PLAN_BYTES, 16)
            + WARPS * max(self.takes, 4) * 4
            + 48
            + _round_up(self.takes * codebooks * 4, 16)
        )
        ring = WARPS * (stage + 16)  # bytes of a stage of every warp
        wanted = min(all_sums, 14_336 + 2_048 * self.takes)
        rooms = (self.shared - fixed - stages * ring for stages in (_LEAST_STAGES + 1, _LEAST_STAGES))
        room = next((room for room in rooms if room >= least_sums), least_sums)
        sums = _round_up(min(wanted, room - 127), 128)
        stages = min((self.shared - fixed - sums) // ring, 32)
        if stages < _LEAST_STAGES:
            raise SharedMemoryError(
                f"The persistent kernel needs more shared memory for {self.takes} takes than this GPU has "
                f"({self.shared} bytes).",
                "Use the path 'auto', or fewer takes.",
                input="path",
            )
        macros = {
            "TAKES": self.takes,
            "WARPS": WARPS,
            "RING": stages * WARPS,
            "STAGE": stage,
            "FETCHERS": FETCHERS,
            "SUMS": sums,
            "SCRATCH": scratch,
            "PLANS": len(self._plans),
            "WIDEST": max(op.K for op in products if op.norm is not None),
            "GROUP": group,
            "VOCAB": vocab,
            "SIZE": size,
            "CODEBOOKS": codebooks,
            "MOST_HD": next(op.K for op in attentions if op.flags & Flag.IN_DEPTH),
            "KINDS": sum(1 << kind for kind in kinds),
        }
        return macros, fixed + sums + stages * ring

    def _input_bytes(self, kind: Kind, K: int, parts: int) -> int:
        """Bytes of x in shared memory for one part of a product."""
        stages = -(-_share(row_bytes(kind, K), parts) // _STAGE_ROW)
        return self.takes * (stages * _INPUT_BYTES[kind] + 64)

    def _sum_bytes(self, op: Op) -> tuple[int, int]:
        """Bytes of a product's sums in shared memory: of all tiles of a program, and of the least at once."""
        pitch, tiles = row_bytes(op.kind, op.K), -(-op.N // 8)
        units = -(-tiles // (self.programs // op.parts)) * (2 if op.flags & Flag.GATED else 1)
        longest_part = min(_share(pitch, op.parts), pitch)
        unit = min(max(-(-longest_part // _STAGE_ROW), 1), WARPS) * self.takes * 32
        return units * unit, min(units, 2) * unit


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _share(pitch: int, parts: int) -> int:
    """Bytes of a row of ``pitch`` bytes that each part multiplies, as in ``plan_of``."""
    return _round_up(-(-pitch // parts), _STAGE_ROW)
