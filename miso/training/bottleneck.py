"""Training of the residual vector quantizer: codebooks as moving averages, and quantizer dropout.

The codebooks follow the vectors assigned to them by exponential moving averages, and rarely used entries are
restarted from the batch (van den Oord et al. 2017, arXiv 1711.00937, appendix A.1; Dhariwal et al. 2020,
arXiv 2005.00341). Quantizer dropout is from SoundStream (Zeghidour et al. 2021, arXiv 2107.03312), samples
that bypass the quantizer from Mimi (Defossez et al. 2024, arXiv 2410.00037).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..vocoders.mimi.quantizer import ResidualQuantizer, SplitQuantizer, nearest

_MEAN_PENALTY = 0.05  # weight of the penalty on the mean of latents


class BottleneckOutput(NamedTuple):
    """Result of the bottleneck in training."""

    latent: Tensor  # [B, dim, T], for the decoder, with a straight-through gradient
    content: Tensor  # [B, dim, T], the part from codebook 0, always quantized
    codes: Tensor  # [B, K, T]
    # mean squared error averaged over codebooks, relative to the variance of the first one's input
    commitment: Tensor


def project(part: ResidualQuantizer, latent: Tensor) -> Tensor:
    """Latent [B, dim, T] -> what the codebooks of a part quantize [B, C, T]."""
    assert part.input_proj is not None  # all quantizers in training encode
    return part.input_proj(latent)


class Bottleneck(nn.Module):
    """Trains the codebooks (``tables``) of ``quantizer`` by moving averages, without gradients.

    With all codebooks kept, its output equals that of ``quantizer``. Run it outside autocast, in fp32.

    Args:
        quantizer: the quantizer to train.
        decay: of the moving averages.
        dead: entries used less than this share of the average are restarted from the batch.
    """

    updates: Tensor  # [], number of batches so far

    def __init__(self, quantizer: SplitQuantizer, decay: float, dead: float):
        super().__init__()
        # in a list, because their parameters belong to the codec and not to this module
        self.parts = [quantizer.semantic, quantizer.acoustic]
        self.decay, self.dead = decay, dead
        for part in self.parts:
            part.tables.requires_grad_(False)
        shapes = [part.tables.shape for part in self.parts]
        device = quantizer.semantic.tables.device

        def zeros(shape: Sequence[int]) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape, device=device), requires_grad=False)

        self.counts = nn.ParameterList(zeros(shape[:2]) for shape in shapes)  # [K, S]
        self.sums = nn.ParameterList(zeros(shape) for shape in shapes)  # [K, S, C]
        self.means = nn.ParameterList(zeros(shape[2:]) for shape in shapes)  # [C], running means
        self.register_buffer("updates", torch.zeros((), device=device))
        self._initialized = False  # whether ``updates`` > 0, without waiting for the device

    def forward(self, latent: Tensor, kept: Tensor, bypassed: Tensor, learn: bool = True) -> BottleneckOutput:
        """Quantize latents, and update the codebooks unless ``learn`` is False.

        Args:
            latent: [B, dim, T]
            kept: [B], number of codebooks (from the first, at least 1) that make up each sample's latent.
            bypassed: [B], bool; the latent of these samples is not quantized.
        """
        if learn and not self._initialized:
            if not self.updates:
                self._initialize(latent)
            self._initialized = True
        if learn:
            # a shorter average at first: the vectors of an untrained encoder change from step to step
            self.updates += 1
            self._rate = (1 - self.updates / (self.updates + 10)).clamp(min=1 - self.decay)
        split = self.parts[0].tables.shape[0]
        semantic = self._quantize(0, latent, kept.clamp(max=split), learn)
        acoustic = self._quantize(1, latent, kept - split, learn)
        content = self.parts[0].output_proj(semantic[0])
        skip = bypassed[:, None, None]
        # bypassed samples get the vectors that the codebooks approximate
        mixed = [
            torch.where(skip, project(self.parts[i], latent), q[0])
            for i, q in enumerate((semantic, acoustic))
        ]
        first, second = (part.output_proj(x) for part, x in zip(self.parts, mixed))
        books = semantic[1].shape[1] + acoustic[1].shape[1]
        codes = torch.cat((semantic[1], acoustic[1]), 1)
        return BottleneckOutput(first + second, content, codes, (semantic[2] + acoustic[2]) / books)

    def bypass(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent [B, dim, T] without quantizing, its part for codebook 0, and the penalty on the mean."""
        inputs = [project(part, latent) for part in self.parts]
        first, second = (part.output_proj(x) for part, x in zip(self.parts, inputs))
        penalties = [_mean_penalty(x.transpose(1, 2)) for x in inputs]
        return first + second, first, penalties[0] + penalties[1]

    def _quantize(
        self, index: int, latent: Tensor, kept: Tensor, learn: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized vectors [B, C, T], codes [B, k, T], and the sum of the commitment losses.

        All codebooks assign codes and learn; the vectors are sums over the first ``kept`` [B] ones.
        """
        part: ResidualQuantizer = self.parts[index]
        x = project(part, latent).transpose(1, 2)  # [B, T, C]
        residual, total, codes, commitment = x, torch.zeros_like(x), [], x.new_zeros(())
        if learn:
            self._recentre(index, x.detach().mean((0, 1)))
        spread = _spread(x)  # otherwise the encoder could lower the loss by scaling its output down
        tables = part.tables.detach().clone()  # a copy, because _learn writes to the tables
        for k, table in enumerate(tables):
            ids = nearest(residual.detach(), table)
            vectors = F.embedding(ids, table)
            commitment = commitment + F.mse_loss(residual, vectors) / spread
            if learn:
                self._learn(index, k, residual.detach().flatten(0, 1), ids.flatten())
            residual = residual - vectors
            total = total + vectors * (k < kept)[:, None, None]
            codes.append(ids)
        straight = x + (total - x).detach()
        return straight.transpose(1, 2), torch.stack(codes, 1), commitment + _mean_penalty(x)

    @torch.no_grad()
    def _recentre(self, index: int, mean: Tensor) -> None:
        """Move the first codebook of a part with the mean [C] of its input.

        Early on, every step of Adam shifts all latents together by more than they differ from each other.
        Moving averages alone would lag behind, and the commitment loss would not converge.
        """
        before = self.means[index].clone()
        # faster than the codebooks, smoother than single batches
        self.means[index].lerp_(mean, self._rate.sqrt())
        shift = self.means[index] - before
        self.parts[index].tables[0] += shift
        self.sums[index][0] += self.counts[index][0][:, None] * shift

    @torch.no_grad()
    def _learn(self, index: int, k: int, vectors: Tensor, ids: Tensor) -> None:
        """Move codebook k of a part towards the vectors [N, C] that its entries ids [N] were assigned to."""
        counts, sums, table = self.counts[index][k], self.sums[index][k], self.parts[index].tables[k]
        used = torch.zeros_like(counts).index_add_(0, ids, torch.ones_like(ids, dtype=counts.dtype))
        counts.lerp_(used, self._rate)
        sums.lerp_(torch.zeros_like(sums).index_add_(0, ids, vectors), self._rate)
        average = counts.mean()
        dead = counts < self.dead * average
        fresh = vectors[torch.randint(len(vectors), counts.shape, device=vectors.device)]
        # restart with the count of an average entry, so that there is time to assign vectors to it
        counts.copy_(torch.where(dead, average, counts))
        sums.copy_(torch.where(dead[:, None], fresh * average, sums))
        table.copy_(sums / counts[:, None].clamp(min=1e-8))

    @torch.no_grad()
    def adopt(self, latent: Tensor) -> None:
        """Start from the codebooks as they are, as if all entries had been used alike; [B, dim, T]."""
        for index, part in enumerate(self.parts):
            x = project(part, latent)
            self.means[index].copy_(x.mean((0, 2)))
            for k, table in enumerate(part.tables):
                self.counts[index][k] = x.shape[0] * x.shape[2] / len(table)
                self.sums[index][k] = table * self.counts[index][k][:, None]
        self.updates.fill_(1000)  # with the averages at their full length

    @torch.no_grad()
    def _initialize(self, latent: Tensor) -> None:
        """Fill each codebook with random residuals of the first batch."""
        for index, part in enumerate(self.parts):
            residual = project(part, latent).transpose(1, 2)
            self.means[index].copy_(residual.mean((0, 1)))
            for k in range(len(part.tables)):
                flat = residual.flatten(0, 1)
                table = flat[torch.randint(len(flat), part.tables.shape[1:2], device=flat.device)]
                # the noise makes entries differ that were drawn from the same vector
                table = table + 1e-3 * flat.std() * torch.randn_like(table)
                part.tables[k].copy_(table)
                self.counts[index][k] = len(flat) / len(table)
                self.sums[index][k] = table * self.counts[index][k][:, None]
                residual = residual - F.embedding(nearest(residual, table), table)


def _spread(x: Tensor) -> Tensor:
    """Variance of vectors [B, T, C] around their mean, averaged over C; never 0."""
    return x.detach().flatten(0, 1).var(0).mean().clamp(min=1e-12)


def _mean_penalty(x: Tensor) -> Tensor:
    """Penalty on the mean of vectors [B, T, C], which carries no information and drifts."""
    return _MEAN_PENALTY * x.mean((0, 1)).square().mean() / _spread(x)


def draw_kept(
    batch: int, codebooks: int, dropped: float, bypassed: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Draw for each sample the number of codebooks kept [B], and whether it bypasses the quantizer [B].

    A share ``dropped`` of the samples keeps 1 to ``codebooks`` codebooks, a share ``bypassed`` is not
    quantized.
    """
    few = torch.randint(1, codebooks + 1, (batch,), device=device)
    u = torch.rand(batch, device=device)
    return torch.where(u < dropped, few, codebooks), u > 1 - bypassed


def perplexity(codes: Tensor, size: int) -> Tensor:
    """Perplexity [K] of each codebook, the effective number of entries in use, from codes [B, K, T]."""
    flat = codes.transpose(0, 1).flatten(1)
    counts = torch.zeros(len(flat), size, device=codes.device).scatter_add_(
        1, flat, torch.ones_like(flat, dtype=torch.float32)
    )
    p = counts / counts.sum(1, keepdim=True)
    return torch.special.entr(p).sum(1).exp()


def effective_rank(x: Tensor) -> Tensor:
    """Effective number of dimensions of vectors [B, C, T]: the participation ratio of the eigenvalues."""
    covariance = torch.cov(x.transpose(0, 1).flatten(1))
    return covariance.trace().square() / covariance.square().sum().clamp(min=1e-30)
