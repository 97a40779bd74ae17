"""From logits to a code and the row that it becomes: ``sampling.draw`` and the embedding after it in one program a take."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ..sampling import Sampling
from .matvec import wait


@triton.jit(do_not_specialize=["codebook"])
def _draw(logits, u, counter, codes, log_p, table, row, F, temperature, K: tl.constexpr, KC: tl.constexpr, V: tl.constexpr,
          SIZE: tl.constexpr, VP: tl.constexpr, TOP: tl.constexpr, GREEDY: tl.constexpr, LOG_P: tl.constexpr, EMBED: tl.constexpr, D: tl.constexpr,
          DP: tl.constexpr, SROW: tl.constexpr, codebook, PDL: tl.constexpr):
    """Take b = program: logits [B, V] -> codes[counter, b, codebook], and table[codebook * V + code] to row b of ``row`` (SROW numbers apart)."""
    b = tl.program_id(0)
    wait(PDL)
    ids = tl.arange(0, VP)
    own = tl.load(logits + b * V + ids, mask=ids < V, other=float("-inf"))
    x = tl.where(ids < SIZE, own, float("-inf"))
    t = tl.load(counter)
    top = tl.max(x, 0)
    if GREEDY:
        code = tl.min(tl.where(x == top, ids, VP), 0)
    else:
        keep = ids < SIZE
        if TOP > 0 and TOP < SIZE:
            # the k-th greatest by its bits, put in the order of unsigned numbers, from the highest bit down; what ties with it stays
            bits = x.to(tl.uint32, bitcast=True)
            order = tl.where(bits >> 31 != 0, bits ^ 0xFFFFFFFF, bits | 0x80000000)
            kth = tl.zeros((), tl.uint32)
            for i in tl.static_range(32):
                higher = kth | (1 << (31 - i))
                kth = tl.where(tl.sum((order >= higher).to(tl.int32), 0) >= TOP, higher, kth)
            keep = keep & (order >= kth)
        p = tl.where(keep, tl.exp((x - top) / temperature), 0)
        cdf = tl.cumsum(p, 0)
        target = tl.load(u + (b * F + t) * K + codebook) * tl.max(cdf, 0)
        code = tl.min(tl.where((cdf > target) & (p > 0), ids, VP), 0)
    tl.store(codes + (t * tl.num_programs(0) + b) * KC + codebook, code.to(tl.int64))
    if LOG_P:
        best = tl.max(own, 0)
        norm = best + tl.log(tl.sum(tl.where(ids < V, tl.exp(own - best), 0), 0))
        tl.store(log_p + t * tl.num_programs(0) + b, tl.sum(tl.where(ids == code, own, 0), 0) - norm)
    if EMBED:
        d = tl.arange(0, DP)
        y = tl.load(table + (codebook * V + code).to(tl.int64) * D + d, mask=d < D, other=0)
        tl.store(row + b * SROW + d, y.to(tl.float32), mask=d < D)


@triton.jit
def _norm(x, g, eps, counter, out, B: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, PDL: tl.constexpr):
    """out[counter, b] = norm(x[b])."""
    b = tl.program_id(0)
    wait(PDL)
    d = tl.arange(0, DP)
    y = tl.load(x + b * D + d, mask=d < D, other=0)
    y = y * tl.rsqrt(tl.sum(y * y, 0) / D + eps) * tl.load(g + d, mask=d < D, other=0).to(tl.float32)
    tl.store(out + (tl.load(counter) * B + b) * D + d, y.to(out.dtype.element_ty), mask=d < D)


@triton.jit
def _copy(x, out, n, BLOCK: tl.constexpr, PDL: tl.constexpr):
    """x [n] of any type -> out [n] fp32."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    wait(PDL)
    tl.store(out + i, tl.load(x + i, mask=i < n, other=0).to(tl.float32), mask=i < n)


@triton.jit
def _embed_frame(codes, counter, table, out, B: tl.constexpr, KC: tl.constexpr, V: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr,
                 PDL: tl.constexpr):
    """out[b] = the sum over codebooks of table[k * V + codes[counter, b, k]]."""
    b = tl.program_id(0)
    wait(PDL)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at = codes + (tl.load(counter) * B + b) * KC
    y = tl.zeros((BLOCK,), tl.float32)
    for k in range(KC):
        y += tl.load(table + (k * V + tl.load(at + k)) * D + d, mask=d < D, other=0).to(tl.float32)
    tl.store(out + b * D + d, y.to(out.dtype.element_ty), mask=d < D)


@triton.jit
def _advance(position, counter, PDL: tl.constexpr):
    wait(PDL)
    tl.store(position, tl.load(position) + 1)
    tl.store(counter, tl.load(counter) + 1)


class Drawing:
    """The small kernels of a frame, around the products; ``state`` is a ``FrameState``."""

    def __init__(self, state, audio_vocab: int, codebook_size: int, pdl: bool):
        self.state, self.vocab, self.size, self.pdl = state, audio_vocab, codebook_size, pdl
        self.options = {"PDL": pdl, **({"launch_pdl": True} if pdl else {})}

    def draw(self, logits: Tensor, sampling: Sampling, codebook: int, table: Tensor | None, row: Tensor | None) -> None:
        """Draw ``codebook`` from logits [B, V]; its row of ``table`` goes to row [B, ..., D], whose takes are ``row.stride(0)`` apart."""
        s = self.state
        B, F, K = s.u.shape
        D = 1 if table is None else table.shape[1]
        first = codebook == 0
        _draw[(B,)](logits, s.u, s.counter, s.codes, s.log_p, s.u if table is None else table, s.u if row is None else row, F,
                    float(sampling.temperature), K=K, KC=s.codes.shape[2], V=self.vocab, SIZE=self.size,
                    VP=triton.next_power_of_2(self.vocab if first else self.size), TOP=sampling.top_k, GREEDY=sampling.greedy, LOG_P=first,
                    EMBED=table is not None, D=D, DP=triton.next_power_of_2(D), SROW=0 if row is None else row.stride(0), codebook=codebook,
                    num_warps=8, **self.options)

    def norm(self, x: Tensor, scale: Tensor, eps: float) -> None:
        """hidden[counter] = norm(x [B, D])."""
        B, D = x.shape
        _norm[(B,)](x, scale, eps, self.state.counter, self.state.hidden, B=B, D=D, DP=triton.next_power_of_2(D), num_warps=8, **self.options)

    def begin(self, x: Tensor) -> None:
        """x [B, D] fp32 = the row that the state holds."""
        n = x.numel()
        _copy[(triton.cdiv(n, 1024),)](self.state.x, x, n, BLOCK=1024, num_warps=4, **self.options)

    def end(self, table: Tensor) -> None:
        """Embed the frame's codes as the next row, and go on to the next frame."""
        s = self.state
        B, _, D = s.x.shape
        _embed_frame[(B, triton.cdiv(D, 256))](s.codes, s.counter, table, s.x, B=B, KC=s.codes.shape[2], V=self.vocab, D=D, BLOCK=256,
                                               num_warps=4, **self.options)
        _advance[(1,)](s.position, s.counter, num_warps=1, **self.options)
