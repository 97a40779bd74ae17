"""Products of a few rows with a matrix, and what is fused with them: RMS norm before; residual, gate, or rotation and cache after."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from ..quantize import GROUP

_SIMPLE = 2  # rows up to which the product is done number by number; more go to the tensor cores, padded to 16


@triton.jit
def wait(PDL: tl.constexpr):
    """Let the next kernel begin to fetch, then wait for the one before."""
    if PDL:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()


@triton.jit
def _raw(w, rows, k0, K: tl.constexpr, BK: tl.constexpr, KIND: tl.constexpr, N: tl.constexpr):
    """A tile [BN, BK] as it is held ([BN, BK / 2] bytes of int4)."""
    HALVES: tl.constexpr = 2 if KIND == 2 else 1
    cols = k0 // HALVES + tl.arange(0, BK // HALVES)
    mask = (rows < N)[:, None] & (cols < K // HALVES)[None, :]
    return tl.load(w + rows[:, None].to(tl.int64) * (K // HALVES) + cols[None, :], mask=mask, other=0, eviction_policy="evict_first")


@triton.jit
def _columns(k0, BK: tl.constexpr, KIND: tl.constexpr):
    """Which inputs [BK] the columns of a widened tile belong to: int4 has a low nibble's and a high nibble's in turn."""
    c = tl.arange(0, BK)
    if KIND == 2:
        c = c // 64 * 64 + c % 2 * 32 + c % 64 // 2
    return k0 + c


@triton.jit
def _widened(raw, scale, zero, rows, k0, K: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, KIND: tl.constexpr, N: tl.constexpr):
    """The tile's numbers [BN, BK] in fp32."""
    if KIND == 0:
        tile = raw.to(tl.float32)
    else:
        G: tl.constexpr = BK // 64
        ALL: tl.constexpr = (K + 63) // 64
        groups = k0 // 64 + tl.arange(0, G)
        mask = (rows < N)[:, None] & (groups < ALL)[None, :]
        at = rows[:, None].to(tl.int64) * ALL + groups[None, :]
        s = tl.load(scale + at, mask=mask, other=0).to(tl.float32)
        if KIND == 2:
            z = tl.load(zero + at, mask=mask, other=0).to(tl.float32)
            steps = tl.join((raw & 15).to(tl.float32), (raw >> 4).to(tl.float32)).reshape(BN, G, 64) - z[:, :, None]
        else:
            steps = raw.to(tl.float32).reshape(BN, G, 64)
        tile = (steps * s[:, :, None]).reshape(BN, BK)
    return tile


@triton.jit
def _product(raw, raw2, x, g, eps, w, s, z, w2, s2, z2, rows, R: tl.constexpr, RP: tl.constexpr, N: tl.constexpr, K: tl.constexpr, BN: tl.constexpr,
             BK: tl.constexpr, KIND: tl.constexpr, NORM: tl.constexpr, TWO: tl.constexpr, DOT: tl.constexpr):
    """Rows ``rows`` [BN] of one or two matrices [N, K], whose first tiles are raw and raw2, times x [R, K], RMS-normed if NORM: [RP, BN] each."""
    r = tl.arange(0, RP)
    if DOT:  # registers are dear there
        squares = tl.zeros((RP,), tl.float32)
        acc = tl.zeros((RP, BN), tl.float32)
        acc2 = tl.zeros((RP, BN), tl.float32)
    else:
        squares = tl.zeros((RP, BK), tl.float32)
        acc = tl.zeros((RP, BN, BK), tl.float32)
        acc2 = tl.zeros((RP, BN, BK), tl.float32)
    for k0 in range(0, K, BK):
        following = _raw(w, rows, k0 + BK, K, BK, KIND, N)  # on its way while this one is used
        following2 = following
        if TWO:
            following2 = _raw(w2, rows, k0 + BK, K, BK, KIND, N)
        cols = _columns(k0, BK, KIND)
        xs = tl.load(x + r[:, None] * K + cols[None, :], mask=(r < R)[:, None] & (cols < K)[None, :], other=0)
        if NORM:
            if DOT:
                squares += tl.sum(xs * xs, 1)
            else:
                squares += xs * xs
            xs *= tl.load(g + cols, mask=cols < K, other=0).to(tl.float32)[None, :]
        tile = _widened(raw, s, z, rows, k0, K, BN, BK, KIND, N)
        if DOT:
            acc = _dot(xs, tile, acc, DOT)
        else:
            acc += xs[:, None, :] * tile[None, :, :]
        if TWO:
            tile2 = _widened(raw2, s2, z2, rows, k0, K, BN, BK, KIND, N)
            if DOT:
                acc2 = _dot(xs, tile2, acc2, DOT)
            else:
                acc2 += xs[:, None, :] * tile2[None, :, :]
        raw, raw2 = following, following2
    if DOT:
        y, y2, total = acc, acc2, squares
    else:
        y, y2, total = tl.sum(acc, 2), tl.sum(acc2, 2), tl.sum(squares, 1)
    if NORM:
        factor = tl.rsqrt(total / K + eps)
        y, y2 = y * factor[:, None], y2 * factor[:, None]
    return y, y2


@triton.jit
def _dot(xs, tile, acc, DOT: tl.constexpr):
    if DOT == 2:
        acc = tl.dot(xs, tl.trans(tile), acc, input_precision="ieee")
    else:
        acc = tl.dot(xs.to(tl.bfloat16), tl.trans(tile.to(tl.bfloat16)), acc)
    return acc


@triton.jit
def _linear(x, g, eps, w, s, z, out, STRIDE: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
            BN: tl.constexpr, BK: tl.constexpr, KIND: tl.constexpr, NORM: tl.constexpr, ADD: tl.constexpr, DOT: tl.constexpr, PDL: tl.constexpr):
    rows = tl.program_id(0) * BN + tl.arange(0, BN)
    raw = _raw(w, rows, 0, K, BK, KIND, N)
    wait(PDL)
    r = tl.arange(0, RP)
    at = out + r[:, None] * STRIDE + rows[None, :]
    mask = (r < R)[:, None] & (rows < N)[None, :]
    before = tl.zeros((RP, BN), tl.float32)
    if ADD:
        before = tl.load(at, mask=mask, other=0)  # now, not at the end: nothing would be left to do while it comes
    y, _ = _product(raw, raw, x, g, eps, w, s, z, w, s, z, rows, R, RP, N, K, BN, BK, KIND, NORM, False, DOT)
    tl.store(at, before + y, mask=mask)


@triton.jit
def _gated(x, g, eps, w1, s1, z1, w3, s3, z3, out, R: tl.constexpr, RP: tl.constexpr, N: tl.constexpr, K: tl.constexpr, BN: tl.constexpr,
           BK: tl.constexpr, KIND: tl.constexpr, DOT: tl.constexpr, PDL: tl.constexpr):
    rows = tl.program_id(0) * BN + tl.arange(0, BN)
    raw1, raw3 = _raw(w1, rows, 0, K, BK, KIND, N), _raw(w3, rows, 0, K, BK, KIND, N)
    wait(PDL)
    a, b = _product(raw1, raw3, x, g, eps, w1, s1, z1, w3, s3, z3, rows, R, RP, N, K, BN, BK, KIND, True, True, DOT)
    r = tl.arange(0, RP)
    tl.store(out + r[:, None] * N + rows[None, :], a * tl.sigmoid(a) * b, mask=(r < R)[:, None] & (rows < N)[None, :])


@triton.jit
def _qkv(x, g, eps, wq, sq, zq, wk, sk, zk, wv, sv, zv, table, position, q_out, keys, values, capacity, P: tl.constexpr, S: tl.constexpr,
         HD: tl.constexpr, KV: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, NQ: tl.constexpr, NKV: tl.constexpr, K: tl.constexpr,
         BN: tl.constexpr, BK: tl.constexpr, KIND: tl.constexpr, DOT: tl.constexpr, PDL: tl.constexpr):
    """Rotated queries to q_out [R, NQ]; rotated keys, and values, to their place in the cache [B, KV, capacity, HD] (R = B * S)."""
    start = tl.program_id(0) * BN
    w, s, z, first = wq, sq, zq, start
    if start >= NQ + NKV:
        w, s, z, first = wv, sv, zv, start - NQ - NKV
    elif start >= NQ:
        w, s, z, first = wk, sk, zk, start - NQ
    rows = first + tl.arange(0, BN)  # BN divides the head dimension: never past the end, never of two kinds
    raw = _raw(w, rows, 0, K, BK, KIND, NQ)
    wait(PDL)
    r = tl.arange(0, RP)
    at = tl.load(position + r % S)  # [RP]
    pair = (first % HD) // 2 + tl.arange(0, BN // 2)
    cos = tl.load(table + at[:, None] * (HD // 2) + pair[None, :])
    sin = tl.load(table + P * (HD // 2) + at[:, None] * (HD // 2) + pair[None, :])
    if start >= NQ + NKV:
        cos, sin = cos * 0 + 1, sin * 0
    y, _ = _product(raw, raw, x, g, eps, w, s, z, w, s, z, rows, R, RP, NQ, K, BN, BK, KIND, True, False, DOT)
    even, odd = tl.split(y.reshape(RP, BN // 2, 2))
    y = tl.join(even * cos - odd * sin, odd * cos + even * sin).reshape(RP, BN)
    mask = (r < R)[:, None] & (rows >= 0)[None, :]
    if start < NQ:
        tl.store(q_out + r[:, None] * NQ + rows[None, :], y, mask=mask)
    else:
        place = ((r // S * KV + first // HD) * capacity + at) * HD  # [RP]
        cache = keys
        if start >= NQ + NKV:
            cache = values
        tl.store(cache + place[:, None] + (rows % HD)[None, :], y.to(cache.dtype.element_ty), mask=mask)


@triton.jit
def _head(x, g, eps, w, out, STRIDE: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, N: tl.constexpr, K: tl.constexpr, BN: tl.constexpr,
          BK: tl.constexpr, DOT: tl.constexpr, PDL: tl.constexpr):
    """norm(x) [R, K] times w [K, N], stored by inputs: out [R, N]."""
    cols = tl.program_id(0) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    tile = tl.load(w + k[:, None] * N + cols[None, :], mask=(k < K)[:, None] & (cols < N)[None, :], other=0)
    wait(PDL)
    if DOT:
        acc = tl.zeros((RP, BN), tl.float32)
    else:
        acc = tl.zeros((RP, BK, BN), tl.float32)
    squares = tl.zeros((RP,), tl.float32)
    r = tl.arange(0, RP)
    for k0 in range(0, K, BK):
        at = k0 + BK + k
        following = tl.load(w + at[:, None] * N + cols[None, :], mask=(at < K)[:, None] & (cols < N)[None, :], other=0)
        xs = tl.load(x + r[:, None] * STRIDE + (k0 + k)[None, :], mask=(r < R)[:, None] & (k0 + k < K)[None, :], other=0)
        squares += tl.sum(xs * xs, 1)
        xs *= tl.load(g + k0 + k, mask=k0 + k < K, other=0).to(tl.float32)[None, :]
        if DOT == 0:
            acc += xs[:, :, None] * tile.to(tl.float32)[None, :, :]
        elif DOT == 2:
            acc = tl.dot(xs, tile.to(tl.float32), acc, input_precision="ieee")
        else:
            acc = tl.dot(xs.to(tl.bfloat16), tile.to(tl.bfloat16), acc)
        tile = following
    if DOT:
        y = acc
    else:
        y = tl.sum(acc, 1)
    y *= tl.rsqrt(squares / K + eps)[:, None]
    tl.store(out + r[:, None] * N + cols[None, :], y, mask=(r < R)[:, None] & (cols < N)[None, :])


@dataclass(frozen=True)
class Matrix:
    """The weight of a ``nn.Linear`` or ``QuantizedLinear`` as kernels take it: [N, K], whatever it is held in."""

    weight: Tensor
    scale: Tensor
    zero: Tensor
    kind: int  # 0: as it is, 1: int8, 2: int4
    shape: tuple[int, int]

    @staticmethod
    def of(module: nn.Module) -> Matrix:
        weight = module.weight.data
        if weight.dtype == torch.uint8:
            return Matrix(weight, module.scale, module.zero, 2, (weight.shape[0], 2 * weight.shape[1]))
        if weight.dtype == torch.int8:
            return Matrix(weight, module.scale, module.scale, 1, tuple(weight.shape))
        return Matrix(weight, weight, weight, 0, tuple(weight.shape))

    @property
    def operands(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.weight, self.scale, self.zero


def blocks(m: Matrix, R: int, *, divide: int = 0, two: bool = False) -> dict[str, int]:
    """Shapes of a kernel's tiles: how many outputs (a divisor of ``divide``, if given) and inputs a program takes at a time, and its warps."""
    N, K = m.shape
    even = K & -K  # the greatest power of two in it
    dot = _dots(m.weight, R)
    if dot:
        BK, BN = min(128 if two else 256, max(even, 16)), 16
    else:
        BK = 1024 if K % 1024 == 0 or K > 4096 else min(even, 1024)
        BN = max(2, min((2048 if two else 4096) // BK // R, 16))
        while BN > 2 and -(-N // BN) < 264 and m.weight.is_cuda:  # two programs for each multiprocessor of a large card
            BN //= 2
    if m.kind:
        BK = max(BK, GROUP)
    while divide and divide % BN:
        BN //= 2
    return {"BN": BN, "BK": BK, "RP": max(16, triton.next_power_of_2(R)) if dot else triton.next_power_of_2(R), "DOT": dot, "num_warps": 4}


def _dots(weight: Tensor, R: int) -> int:
    """Whether tensor cores do the product, 1: in bf16; 2: in fp32, for fp32 weights and in Triton's interpreter, which takes bf16 for integers."""
    return 0 if R <= _SIMPLE else 2 if weight.dtype == torch.float32 or weight.device.type == "cpu" else 1


class Launcher:
    """Launches kernels for activations of R rows; ``pdl`` says whether they overlap."""

    def __init__(self, rows: int, eps: float, pdl: bool):
        self.rows, self.eps, self.pdl = rows, eps, pdl
        self.options = {"launch_pdl": True} if pdl else {}

    def linear(self, x: Tensor, m: Matrix, out: Tensor, *, norm: Tensor | None = None, add: bool = False) -> None:
        """out [R, N], whose rows may be apart, = (or += if ``add``) W x, of x [R, K] normed by ``norm`` [K] if given."""
        N, K = m.shape
        b = blocks(m, self.rows)
        _linear[(triton.cdiv(N, b["BN"]),)](x, m.scale if norm is None else norm, self.eps, *m.operands, out, STRIDE=out.stride(0), R=self.rows, N=N,
                                            K=K, KIND=m.kind, NORM=norm is not None, ADD=add, PDL=self.pdl, **b, **self.options)

    def gated(self, x: Tensor, norm: Tensor, w1: Matrix, w3: Matrix, out: Tensor) -> None:
        """out [R, N] = silu(W1 norm(x)) * W3 norm(x)."""
        N, K = w1.shape
        b = blocks(w1, self.rows, two=True)
        _gated[(triton.cdiv(N, b["BN"]),)](x, norm, self.eps, *w1.operands, *w3.operands, out, R=self.rows, N=N, K=K, KIND=w1.kind, PDL=self.pdl,
                                           **b, **self.options)

    def qkv(self, x: Tensor, norm: Tensor, q: Matrix, k: Matrix, v: Matrix, table: Tensor, position: Tensor, q_out: Tensor, keys: Tensor,
            values: Tensor) -> None:
        """Queries to q_out [R, heads * H], keys and values to the cache [B, KV, capacity, H] at position [S]."""
        (NQ, K), NKV = q.shape, k.shape[0]
        _, KV, capacity, HD = keys.shape
        b = blocks(q, self.rows, divide=HD)
        _qkv[((NQ + 2 * NKV) // b["BN"],)](x, norm, self.eps, *q.operands, *k.operands, *v.operands, table, position, q_out, keys, values, capacity,
                                           P=table.shape[1], S=position.numel(), HD=HD, KV=KV, R=self.rows, NQ=NQ, NKV=NKV, K=K, KIND=q.kind,
                                           PDL=self.pdl, **b, **self.options)

    def head(self, x: Tensor, norm: Tensor, w: Tensor, out: Tensor) -> None:
        """out [R, N] = norm(x) w, of x [R, K], whose rows may be apart, and w [K, N]."""
        K, N = w.shape
        dot = _dots(w, self.rows)
        RP = 16 if dot else triton.next_power_of_2(self.rows)
        _head[(triton.cdiv(N, 16),)](x, norm, self.eps, w, out, STRIDE=x.stride(0), R=self.rows, RP=RP, N=N, K=K, BN=16, BK=256 if dot else 256 // RP,
                                     DOT=dot, PDL=self.pdl, num_warps=4, **self.options)
