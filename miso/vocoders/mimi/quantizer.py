"""Mimi's split residual vector quantizer: semantic codebooks and, beside them, acoustic ones.

Residual vector quantization: Zeghidour et al. 2021 (SoundStream), arXiv 2107.03312. The split is Mimi's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import MisoError
from .config import MimiConfig


class QuantizerOutput(NamedTuple):
    """The result of quantizing in training."""

    latent: Tensor  # [B, dim, T]; gradients pass straight through to the input
    codes: Tensor  # [B, K, T]
    commitment: Tensor  # mean square error, for the gradient of the input only
    codebook: Tensor  # the same number, for the gradient of the codebooks only


class ResidualQuantizer(nn.Module):
    """``codebooks`` tables of vectors; each quantizes the residual that the tables before it leave."""

    def __init__(self, config: MimiConfig, codebooks: int, encoder: bool):
        super().__init__()
        self.input_proj = nn.Conv1d(config.dim, config.codebook_dim, 1, bias=False) if encoder else None
        self.output_proj = nn.Conv1d(config.codebook_dim, config.dim, 1, bias=False)
        # A parameter, so that a trainer may use gradients or moving averages.
        self.tables = nn.Parameter(torch.zeros(codebooks, config.codebook_size, config.codebook_dim))

    def encode(self, latent: Tensor, codebooks: int, paths: int = 1) -> Tensor:
        """Ids [B, codebooks, T] of a latent [B, dim, T].

        With one path, each table's nearest vector to the residual; the first n ids don't depend on
        ``codebooks``. With more ``paths``, a beam search of that width over all tables for the nearest sum of
        vectors.
        """
        if paths > 1:
            return self._search(latent, paths)[:, :codebooks]
        residual = self._project(latent).transpose(1, 2)  # [B, T, C]
        codes = []
        for table in self.tables[:codebooks]:
            codes.append(nearest(residual, table))
            residual = residual - F.embedding(codes[-1], table)
        return torch.stack(codes, 1)

    def _search(self, latent: Tensor, paths: int) -> Tensor:
        """Ids [B, all codebooks, T] by beam search."""
        residual = self._project(latent).transpose(1, 2)[:, :, None]  # [B, T, paths, C] of each path
        codes = torch.empty(*residual.shape[:3], 0, dtype=torch.int64, device=residual.device)
        for table in self.tables:
            distance = residual.square().sum(3, keepdim=True) - 2 * residual @ table.T + table.square().sum(1)
            count = min(paths, distance.shape[2] * len(table))
            best = distance.flatten(2).topk(count, largest=False).indices  # [B, T, paths], the best first
            path, ids = best // len(table), best % len(table)
            residual = _of_paths(residual, path) - F.embedding(ids, table)
            codes = torch.cat((_of_paths(codes, path), ids[..., None]), 3)
        return codes[:, :, 0].transpose(1, 2)

    def _project(self, latent: Tensor) -> Tensor:
        if self.input_proj is None:
            raise MisoError("This codec file contains a decoder only.", "Load a Mimi file with an encoder.")
        return self.input_proj(latent)

    def decode(self, codes: Tensor) -> Tensor:
        """The latent [B, dim, T] of codes [B, k, T]: the sum of their vectors, of the first k codebooks."""
        # One table at a time: in a flat table, an id out of range would silently be a vector of the next
        # table.
        vectors = [F.embedding(ids, table) for ids, table in zip(codes.unbind(1), self.tables, strict=False)]
        return self.output_proj(torch.stack(vectors).sum(0).transpose(1, 2))

    def forward(self, latent: Tensor, codebooks: int) -> QuantizerOutput:
        """Encode and decode, differentiable with respect to the latent and the tables."""
        x = self._project(latent)
        residual, codes = x.transpose(1, 2), []
        commitment, codebook = x.new_zeros(()), x.new_zeros(())
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


def _of_paths(x: Tensor, path: Tensor) -> Tensor:
    """Rows of x [B, T, P, C] chosen by ``path`` [B, T, P'] -> [B, T, P', C]."""
    return x.gather(2, path[..., None].expand(*path.shape, x.shape[3]))


def nearest(x: Tensor, table: Tensor) -> Tensor:
    """Ids [B, T] of the vectors in ``table`` [S, C] nearest to ``x`` [B, T, C]."""
    # |x - c|^2 without |x|^2, which is the same for all c.
    return (table.square().sum(1) - 2 * x @ table.T).argmin(-1)


class SplitQuantizer(nn.Module):
    """The sum of semantic and acoustic codebooks: latent [B, dim, T] <-> codes [B, K, T]."""

    def __init__(self, config: MimiConfig, encoder: bool):
        super().__init__()
        self.split, self.paths = config.semantic, config.paths
        self.semantic = ResidualQuantizer(config, config.semantic, encoder)
        self.acoustic = ResidualQuantizer(config, config.codebooks - config.semantic, encoder)

    def encode(self, latent: Tensor, codebooks: int) -> Tensor:
        """Codes [B, codebooks, T] of a latent [B, dim, T]."""
        codes = self.semantic.encode(latent, min(codebooks, self.split))
        if codebooks > self.split:
            codes = torch.cat([codes, self.acoustic.encode(latent, codebooks - self.split, self.paths)], 1)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The latent [B, dim, T] of codes [B, K, T], of the first K codebooks."""
        latent = self.semantic.decode(codes[:, : self.split])
        if codes.shape[1] > self.split:
            latent = latent + self.acoustic.decode(codes[:, self.split :])
        return latent

    def forward(self, latent: Tensor, codebooks: int) -> QuantizerOutput:
        """As ``ResidualQuantizer.forward``; losses are means over all codebooks used."""
        semantic = self.semantic(latent, min(codebooks, self.split))
        if codebooks <= self.split:
            return semantic
        acoustic = self.acoustic(latent, codebooks - self.split)
        share = self.split / codebooks
        return QuantizerOutput(
            semantic.latent + acoustic.latent,
            torch.cat([semantic.codes, acoustic.codes], 1),
            share * semantic.commitment + (1 - share) * acoustic.commitment,
            share * semantic.codebook + (1 - share) * acoustic.codebook,
        )
