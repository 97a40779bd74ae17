"""The codec's quantizer while it is trained: moving averages for its tables, and codebooks left out now and then.

The tables follow the vectors assigned to them by exponential moving averages, and entries hardly used are restarted from the
batch (van den Oord et al. 2017, arXiv 1711.00937, appendix A.1; Dhariwal et al. 2020, arXiv 2005.00341). Quantizer dropout is
SoundStream's (Zeghidour et al. 2021, arXiv 2107.03312); crops that aren't quantized at all are Mimi's own (arXiv 2410.00037).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..vocoders.mimi.quantizer import ResidualQuantizer, SplitQuantizer, nearest

_PULL = 0.05  # on the mean of latents


class Bottled(NamedTuple):
    """What comes out of the bottleneck in training."""

    latent: Tensor  # [B, dim, T], for the decoder; gradients pass straight through
    content: Tensor  # [B, dim, T], codebook 0's part of it, always quantized
    codes: Tensor  # [B, K, T]
    commitment: Tensor  # mean square distance of what each codebook was given from what it gave, by the variance of what the first was given


class Bottleneck(nn.Module):
    """Trains the tables of ``quantizer`` without gradients; its own state is the averages.

    With all codebooks kept it gives what ``quantizer`` gives (in fp32: run it outside autocast).
    """

    def __init__(self, quantizer: SplitQuantizer, decay: float, dead: float):
        super().__init__()
        self.parts = [
            quantizer.semantic,
            quantizer.acoustic,
        ]  # a list: their parameters belong to the codec, not to this module
        self.decay, self.dead = decay, dead
        for part in self.parts:
            part.tables.requires_grad_(False)
        shapes = [p.tables.shape for p in self.parts]
        device = quantizer.semantic.tables.device
        self.counts = nn.ParameterList(
            nn.Parameter(torch.zeros(s[:2], device=device), requires_grad=False) for s in shapes
        )  # [K, S]
        self.sums = nn.ParameterList(
            nn.Parameter(torch.zeros(s, device=device), requires_grad=False) for s in shapes
        )  # [K, S, C]
        self.means = nn.ParameterList(
            nn.Parameter(torch.zeros(s[2], device=device), requires_grad=False) for s in shapes
        )  # [C], running
        self.register_buffer(
            "updates", torch.zeros((), device=device)
        )  # batches learnt from; 0: the tables hold nothing yet
        self._begun = False  # the same, without asking the device at each step

    def forward(self, latent: Tensor, kept: Tensor, bypassed: Tensor, learn: bool = True) -> Bottled:
        """Quantize latent [B, dim, T], sample b by its first ``kept`` [B] codebooks (at least 1), or not at all where ``bypassed`` [B]."""
        if learn and not self._begun:
            if not self.updates:
                self._start(latent)
            self._begun = True
        if learn:
            # a young encoder's vectors change from step to step: averages as long as later ones would keep all tables where it began
            self.updates += 1
            self._follow = (1 - self.updates / (self.updates + 10)).clamp(min=1 - self.decay)
        split = self.parts[0].tables.shape[0]
        semantic = self._quantize(0, latent, kept.clamp(max=split), learn)
        acoustic = self._quantize(1, latent, kept - split, learn)
        content = self.parts[0].output_proj(semantic[0])
        skip = bypassed[:, None, None]
        # a bypassed sample hands on the very vectors that the tables approximate
        mixed = [
            torch.where(skip, self.parts[i].input_proj(latent), q[0])
            for i, q in enumerate((semantic, acoustic))
        ]
        out = sum(part.output_proj(x) for part, x in zip(self.parts, mixed))
        books = semantic[1].shape[1] + acoustic[1].shape[1]
        return Bottled(
            out, content, torch.cat((semantic[1], acoustic[1]), 1), (semantic[2] + acoustic[2]) / books
        )

    def around(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What would come out if nothing were quantized: the latent for the decoder, codebook 0's part of it, and what holds its mean."""
        inputs = [part.input_proj(latent) for part in self.parts]
        outs = [part.output_proj(x) for part, x in zip(self.parts, inputs)]
        return sum(outs), outs[0], sum(_wandering(x.transpose(1, 2)) for x in inputs)

    def _quantize(
        self, index: int, latent: Tensor, kept: Tensor, learn: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors [B, C, T] with gradients passed through, codes [B, k, T] and the sum of the codebooks' commitments.

        Every codebook assigns codes and learns, whatever is ``kept`` [B]; kept ones make up the vectors.
        """
        part: ResidualQuantizer = self.parts[index]
        x = part.input_proj(latent).transpose(1, 2)  # [B, T, C]
        residual, total, codes, commitment = x, torch.zeros_like(x), [], x.new_zeros(())
        if learn:
            self._centre(index, x.detach().mean((0, 1)))
        spread = _spread(x)  # without it the encoder could come nearer by whispering
        for k, table in enumerate(part.tables.detach().clone()):  # a copy: learning writes to the tables
            ids = nearest(residual.detach(), table)
            vectors = F.embedding(ids, table)
            commitment = commitment + F.mse_loss(residual, vectors) / spread
            if learn:
                self._learn(index, k, residual.detach().flatten(0, 1), ids.flatten())
            residual = residual - vectors
            total = total + vectors * (k < kept)[:, None, None]
            codes.append(ids)
        straight = x + (total - x).detach()
        return straight.transpose(1, 2), torch.stack(codes, 1), commitment + _wandering(x)

    @torch.no_grad()
    def _centre(self, index: int, mean: Tensor) -> None:
        """Move the first table with the mean [C] of what it is given. Every step of Adam shifts all latents together, early on by more
        than they differ from each other; averages alone would trail behind, and commitment would chase them in circles."""
        before = self.means[index].clone()
        self.means[index].lerp_(
            mean, self._follow.sqrt()
        )  # faster than the tables, yet smoother than the batches, once latents keep still
        shift = self.means[index] - before
        self.parts[index].tables[0] += shift
        self.sums[index][0] += self.counts[index][0][:, None] * shift

    @torch.no_grad()
    def _learn(self, index: int, k: int, vectors: Tensor, ids: Tensor) -> None:
        """Move table k towards the vectors [N, C] assigned to its entries ids [N]."""
        counts, sums, table = self.counts[index][k], self.sums[index][k], self.parts[index].tables[k]
        used = torch.zeros_like(counts).index_add_(0, ids, torch.ones_like(ids, dtype=counts.dtype))
        counts.lerp_(used, self._follow)
        sums.lerp_(torch.zeros_like(sums).index_add_(0, ids, vectors), self._follow)
        average = counts.mean()
        dead = counts < self.dead * average
        fresh = vectors[torch.randint(len(vectors), counts.shape, device=vectors.device)]
        # a restarted entry gets the weight of an average one, so that it has the time to gather its own
        counts.copy_(torch.where(dead, average, counts))
        sums.copy_(torch.where(dead[:, None], fresh * average, sums))
        table.copy_(sums / counts[:, None].clamp(min=1e-8))

    @torch.no_grad()
    def _start(self, latent: Tensor) -> None:
        """Fill the tables with vectors of the first batch, each with what those before it leave over."""
        for index, part in enumerate(self.parts):
            residual = part.input_proj(latent).transpose(1, 2)
            self.means[index].copy_(residual.mean((0, 1)))
            for k in range(len(part.tables)):
                flat = residual.flatten(0, 1)
                table = flat[torch.randint(len(flat), part.tables.shape[1:2], device=flat.device)]
                table = table + 1e-3 * flat.std() * torch.randn_like(
                    table
                )  # a vector drawn twice must not stay two equal entries
                part.tables[k].copy_(table)
                self.counts[index][k] = len(flat) / len(table)
                self.sums[index][k] = table * self.counts[index][k][:, None]
                residual = residual - F.embedding(nearest(residual, table), table)


def _spread(x: Tensor) -> Tensor:
    """Variance of vectors [B, T, C] around their mean, averaged over C; never 0."""
    return x.detach().flatten(0, 1).var(0).mean().clamp(min=1e-12)


def _wandering(x: Tensor) -> Tensor:
    """A gentle pull on the mean of vectors [B, T, C], which says nothing and yet drifts, and the decoder has to follow."""
    return _PULL * x.mean((0, 1)).square().mean() / _spread(x)


def draw_kept(
    batch: int, codebooks: int, dropped: float, bypassed: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """For each sample the number of codebooks kept [B], and whether it is bypassed [B]."""
    few = torch.randint(1, codebooks + 1, (batch,), device=device)
    u = torch.rand(batch, device=device)
    return torch.where(u < dropped, few, codebooks), u > 1 - bypassed


def perplexity(codes: Tensor, size: int) -> Tensor:
    """How many entries of each codebook are in use, as the exponential of their entropy, [K], from codes [B, K, T]."""
    flat = codes.transpose(0, 1).flatten(1)
    counts = torch.zeros(len(flat), size, device=codes.device).scatter_add_(
        1, flat, torch.ones_like(flat, dtype=torch.float32)
    )
    p = counts / counts.sum(1, keepdim=True)
    return torch.special.entr(p).sum(1).exp()


def effective_rank(x: Tensor) -> Tensor:
    """In how many directions vectors [B, C, T] really differ, 1 to C: the participation ratio of their covariance's eigenvalues."""
    covariance = torch.cov(x.transpose(0, 1).flatten(1))
    return covariance.trace().square() / covariance.square().sum().clamp(min=1e-30)
