"""The operations of the persistent kernel: the structures and enumerations of ``plan.cuh``."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import torch
from torch import Tensor, nn


class OpType(IntEnum):
    MATVEC = 0
    ATTEND = 1


class Kind(IntEnum):
    """How a matrix is stored."""

    BF16 = 0
    INT8 = 1
    INT4 = 2
    FP8 = 3


class Source(IntEnum):
    """What a MATVEC multiplies."""

    RESIDUAL = 0  # a residual row plus the partial sums still to be added to it, normalised
    ATTENDED = 1  # the output of an ATTEND that split the context into parts
    VECTOR = 2  # a vector of 16-bit numbers
    BEGIN = 3  # as RESIDUAL, but the row starts from an embedding: the frame's row x, or the code drawn last


class Flag(IntFlag):
    NONE = 0
    GATED = 1  # two matrices of N rows: silu(w1 x) * (w3 x)
    SAME_PHASE = 2  # independent of the operation before it: no barrier between the two
    NOT_FIRST = 4  # skipped at position 0 of the depth decoder, whose output draws no code
    RECORD = 8  # store the normalised row as the frame's hidden state
    IN_DEPTH = 16  # attention of the depth decoder
    FP16_OUT = 32  # write fp16 instead of bf16, for a quantised matrix to read


KINDS = {
    torch.bfloat16: Kind.BF16,
    torch.int8: Kind.INT8,
    torch.uint8: Kind.INT4,
    torch.float8_e4m3fn: Kind.FP8,
}
NO_ROW = 2  # in place of the residual rows 0 and 1
PARTIAL_HEADER = 4  # numbers before the values of one part of the context; FACTS in plan.cuh

_OP = struct.Struct("<6Qq2i8B2BH2BH")
_OTHER = struct.Struct("<3Qq")
OP_BYTES, OTHER_BYTES, PLAN_BYTES = _OP.size, _OTHER.size, 24


def row_bytes(kind: Kind, K: int) -> int:
    """Bytes of a matrix row of K numbers, without scales."""
    if kind == Kind.BF16:
        return K * 2
    return K // 2 if kind == Kind.INT4 else K


@dataclass(frozen=True, eq=False)
class Matrix:
    """A weight [rows, K] of any kind, or one for each depth step, [steps, rows, K]."""

    weight: Tensor
    scale: Tensor | None = None
    zero: Tensor | None = None

    @staticmethod
    def of(module: nn.Module) -> Matrix:
        """The matrix of a linear layer, quantised or not."""
        weight, scale, zero = (
            getattr(module, name).data.contiguous() if hasattr(module, name) else None
            for name in ("weight", "scale", "zero")
        )
        assert weight is not None
        return Matrix(weight, scale, zero)

    @property
    def kind(self) -> Kind:
        return KINDS[self.weight.dtype]

    @property
    def K(self) -> int:
        return self.weight.shape[-1] * (2 if self.kind == Kind.INT4 else 1)


@dataclass(frozen=True, eq=False)
class Sums:
    """fp32 partial sums [parts, B, N] that one operation writes and another adds up when it reads them."""

    tensor: Tensor
    parts: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """The fields of ``Op`` in plan.cuh."""

    type: OpType
    w: Tensor  # MATVEC: the first matrix; ATTEND: keys [B, KV, capacity, H]
    scale: Tensor | None  # ATTEND: values
    zero: Tensor | None  # ATTEND: the rotary table
    norm: Tensor | None = None  # [K]
    input: Tensor | None
    out: Tensor
    step: int = 0  # bytes from one depth step's matrix to the next
    K: int  # ATTEND: head dim
    N: int  # ATTEND: capacity of the cache
    kind: Kind = Kind.BF16
    source: Source = Source.RESIDUAL
    in_parts: int = 1
    parts: int = 1
    rows: tuple[int, int] = (NO_ROW, NO_ROW)  # the residual rows that are read and written
    flags: Flag = Flag.NONE
    heads: int = 0
    kv_heads: int = 0
    positions: int = 0  # of the rotary table
    plan: int = 0  # operations of the same sizes share a plan
    others: int = 0  # matrices after the first
    first_other: int = 0  # their place in the list of them

    def pack(self) -> bytes:
        return _OP.pack(
            *_addresses(self.w, self.scale, self.zero, self.norm, self.input, self.out),
            *(self.step, self.K, self.N),
            *(self.type, self.kind, self.source, self.in_parts, self.parts, *self.rows, self.flags),
            *(self.heads, self.kv_heads, self.positions),
            *(self.plan, self.others, self.first_other),
        )


@dataclass(frozen=True, eq=False)
class Other:
    """``Other`` in plan.cuh: a further matrix of an operation, and which output its row 0 is."""

    matrix: Matrix
    row: int

    def pack(self) -> bytes:
        return _OTHER.pack(*_addresses(self.matrix.weight, self.matrix.scale, self.matrix.zero), self.row)


def _addresses(*tensors: Tensor | None) -> tuple[int, ...]:
    return tuple(0 if t is None else t.data_ptr() for t in tensors)
