"""Mimi's split residual vector quantizer: codebook 0 carries meaning, each later one what those before it left of the sound.

Residual vector quantization: Zeghidour et al. 2021 (SoundStream), arXiv 2107.03312; the split is Mimi's own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import MimiConfig


class QuantizerOutput(NamedTuple):
    """What the quantizer gives while it is trained."""

    latent: Tensor  # [B, dim, T], gradients passed straight through to the input
    codes: Tensor  # [B, K, T]
    commitment: Tensor  # mean square error that pulls the input to the codebooks
    codebook: Tensor  # the same number, pulling the codebooks to the input instead


class ResidualQuantizer(nn.Module):
    """``codebooks`` tables of ``size`` vectors; each quantizes what the sum of those before it left over."""

    def __init__(self, config: MimiConfig, codebooks: int, encoder: bool):
        super().__init__()
        self.input_proj = nn.Conv1d(config.dim, config.codebook_dim, 1, bias=False) if encoder else None
        self.output_proj = nn.Conv1d(config.codebook_dim, config.dim, 1, bias=False)
        # a parameter, so that a trainer may use gradients or, with them off, moving averages
        self.tables = nn.Parameter(torch.zeros(codebooks, config.codebook_size, config.codebook_dim))

    def encode(self, latent: Tensor, codebooks: int, paths: int = 1) -> Tensor:
        """The nearest vectors' ids [B, codebooks, T] of a latent [B, dim, T]; the first n are the same for any number. With more ``paths``
        the ids whose sum is nearest among those that so many paths through the tables find, not the nearest at each table."""
        if paths > 1:
            return self._search(latent, paths)[:, :codebooks]
        residual = self.input_proj(latent).transpose(1, 2)  # [B, T, codebook dim]
        codes = []
        for table in self.tables[:codebooks]:
            codes.append(nearest(residual, table))
            residual = residual - F.embedding(codes[-1], table)
        return torch.stack(codes, 1)

    def _search(self, latent: Tensor, paths: int) -> Tensor:
        left = self.input_proj(latent).transpose(1, 2)[
            :, :, None
        ]  # [B, T, paths, C] what each path has yet to find
        codes = torch.empty(*left.shape[:3], 0, dtype=torch.int64, device=left.device)
        for table in self.tables:
            distance = left.square().sum(3, keepdim=True) - 2 * left @ table.T + table.square().sum(1)
            best = (
                distance.flatten(2).topk(min(paths, distance.shape[2] * len(table)), largest=False).indices
            )  # the best first
            path, ids = best // len(table), best % len(table)
            left = left.gather(2, path[..., None].expand(*path.shape, left.shape[3])) - F.embedding(
                ids, table
            )
            codes = torch.cat(
                (codes.gather(2, path[..., None].expand(*path.shape, codes.shape[3])), ids[..., None]), 3
            )
        return codes[:, :, 0].transpose(1, 2)

    def decode(self, codes: Tensor) -> Tensor:
        """The sum of the vectors named by codes [B, k, T], k of the codebooks: a latent [B, dim, T]."""
        # a table at a time: in one flat table an id out of range would be its neighbour's vector, silently
        vectors = [F.embedding(ids, table) for ids, table in zip(codes.unbind(1), self.tables, strict=False)]
        return self.output_proj(torch.stack(vectors).sum(0).transpose(1, 2))

    def forward(self, latent: Tensor, codebooks: int) -> QuantizerOutput:
        """Encode and decode, differentiable in both the latent and the tables."""
        x = self.input_proj(latent)
        residual, codes, commitment, codebook = x.transpose(1, 2), [], 0.0, 0.0
        for table in self.tables[:codebooks]:
            codes.append(nearest(residual.detach(), table.detach()))
            vectors = F.embedding(codes[-1], table)
            commitment = commitment + F.mse_loss(residual, vectors.detach())
            codebook = codebook + F.mse_loss(residual.detach(), vectors)
            residual = residual - vectors.detach()
        summed = x - residual.transpose(1, 2)
        straight = x + (summed - x).detach()
        return QuantizerOutput(
            self.output_proj(straight), torch.stack(codes, 1), commitment / codebooks, codebook / codebooks
        )


def nearest(x: Tensor, table: Tensor) -> Tensor:
    """Ids [B, T] of the vectors in ``table`` [S, C] nearest to ``x`` [B, T, C]."""
    # |x - c|^2 without |x|^2, which is the same for all c
    return (table.square().sum(1) - 2 * x @ table.T).argmin(-1)


class SplitQuantizer(nn.Module):
    """The semantic codebooks and the acoustic ones beside them, added up: [B, dim, T] <-> codes [B, K, T]."""

    def __init__(self, config: MimiConfig, encoder: bool):
        super().__init__()
        self.split, self.paths = config.semantic, config.paths
        self.semantic = ResidualQuantizer(config, config.semantic, encoder)
        self.acoustic = ResidualQuantizer(config, config.codebooks - config.semantic, encoder)

    def encode(self, latent: Tensor, codebooks: int) -> Tensor:
        """The first ``codebooks`` codebooks' ids [B, codebooks, T] of a latent [B, dim, T]."""
        codes = self.semantic.encode(latent, min(codebooks, self.split))
        if codebooks > self.split:
            codes = torch.cat([codes, self.acoustic.encode(latent, codebooks - self.split, self.paths)], 1)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """A latent [B, dim, T] from codes [B, K, T] of the first K codebooks."""
        latent = self.semantic.decode(codes[:, : self.split])
        if codes.shape[1] > self.split:
            latent = latent + self.acoustic.decode(codes[:, self.split :])
        return latent

    def forward(self, latent: Tensor, codebooks: int) -> QuantizerOutput:
        """As ``ResidualQuantizer.forward``; losses averaged over all codebooks used."""
        first = self.semantic(latent, min(codebooks, self.split))
        if codebooks <= self.split:
            return first
        rest = self.acoustic(latent, codebooks - self.split)
        share = self.split / codebooks
        return QuantizerOutput(
            first.latent + rest.latent,
            torch.cat([first.codes, rest.codes], 1),
            share * first.commitment + (1 - share) * rest.commitment,
            share * first.codebook + (1 - share) * rest.codebook,
        )
