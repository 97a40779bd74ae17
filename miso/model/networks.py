"""The two networks: the backbone draws codebook 0 of a frame, the depth decoder the others.

They share no module, so that each can be moved, offloaded or swapped alone: what the depth decoder needs of the audio
embeddings is held by it already projected to its width (see ``checkpoint``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .transformer import KVCache, Transformer


class TextEmbeddings(nn.Embedding):
    """Beside a GPU they stay in the CPU's memory: of a gigabyte a prompt reads a few rows, and a frame none."""

    @staticmethod
    def place(device: torch.device) -> torch.device:
        """Where they are when everything else is on ``device``."""
        return torch.device("cpu") if device.type == "cuda" else device

    def _apply(self, fn, recurse=True):
        if self.weight.is_meta:  # no values yet, and no memory
            return super()._apply(fn, recurse)
        like = fn(self.weight.data[:0])
        self.weight.data = self.weight.data.to(self.place(like.device), like.dtype)
        return self


class Backbone(nn.Module):
    """Rows of text ids and codes in, hidden states and codebook-0 logits out."""

    def __init__(self, config: ModelConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        dim = config.backbone.dim
        self.text_embeddings = TextEmbeddings(config.text_vocab, dim)
        self.audio_embeddings = nn.Embedding(
            config.codebooks * config.audio_vocab, dim
        )  # row = codebook * audio_vocab + code
        self.transformer = Transformer(
            config.backbone, positions=config.positions, rope_base=config.rope_base, norm_eps=config.norm_eps
        )
        self.codebook0_head = nn.Linear(dim, config.audio_vocab, bias=False)
        self.kept_frame = None  # see ``paths.borrow_frame``
        self.bytes_on_cpu = (
            0  # of layers whose weights stay there wherever the rest is moved; see ``offload``
        )

    def _apply(self, fn, recurse=True):
        self.kept_frame = None
        return super()._apply(fn, recurse)

    def embed(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Embeddings [B, S, D] of rows [B, S, K+1] (K codes, then a text id): the sum of those the mask lets in. Rows and mask may be on the CPU."""
        here, there = self.audio_embeddings.weight.device, self.text_embeddings.weight.device
        text = (self.text_embeddings(rows[..., -1].to(there)) * mask[..., -1:].to(there)).to(here)
        codes, heard = rows[..., :-1].to(here), mask[..., :-1].to(here)
        codes = codes + torch.arange(self.config.codebooks, device=here) * self.config.audio_vocab
        # a long prompt at once would take K times its memory
        parts = [
            (self.audio_embeddings(c) * m[..., None]).sum(2)
            for c, m in zip(codes.split(64, 1), heard.split(64, 1))
        ]
        return torch.cat(parts, 1) + text

    def embed_frame(self, codes: Tensor) -> Tensor:
        """The row [B, 1, D] that feeds a frame's codes [B, k <= K] back."""
        offsets = torch.arange(codes.shape[1], device=codes.device) * self.config.audio_vocab
        return self.audio_embeddings(codes + offsets).sum(1, keepdim=True)

    def forward(
        self,
        x: Tensor,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
        window: int | None = None,
    ) -> Tensor:
        """Hidden states [B, S, D] of embedded rows x [B, S, D]; see ``Transformer.forward``."""
        return self.transformer(x, positions, cache, window)


class DepthDecoder(nn.Module):
    """Within one frame: the backbone's hidden state and the codes so far in, logits of the next codebook out.

    Position 0 is the projected hidden state, position i + 1 the projected embedding of codebook i's code.
    """

    def __init__(self, config: ModelConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        dim, steps = config.depth.dim, config.codebooks - 1
        self.projection = nn.Linear(config.backbone.dim, dim, bias=False)
        self.code_table = nn.Parameter(
            torch.empty(steps * config.audio_vocab, dim)
        )  # audio embeddings of codebooks 0..K-2, projected
        self.transformer = Transformer(
            config.depth, positions=config.codebooks, rope_base=config.rope_base, norm_eps=config.norm_eps
        )
        self.audio_head = nn.Parameter(torch.empty(steps, dim, config.audio_vocab))

    def embed(self, codes: Tensor, first: int = 0) -> Tensor:
        """Rows [N, k, d] of codes [N, k] that belong to codebooks first .. first+k-1."""
        offsets = torch.arange(first, first + codes.shape[1], device=codes.device) * self.config.audio_vocab
        return self.code_table[codes + offsets]

    def start(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Rows [N, k+1, d] that begin a frame: hidden [N, D] and its first codes [N, k]."""
        return torch.cat((self.projection(hidden)[:, None], self.embed(codes)), 1)

    def logits(self, hidden: Tensor, codebook: int) -> Tensor:
        """Logits [N, V] of ``codebook`` (1..K-1) from the depth transformer's output [N, d] at position ``codebook``."""
        return hidden @ self.audio_head[codebook - 1]

    def teacher_forced(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Logits [N, K-1, V] of codebooks 1..K-1 given hidden [N, D] and whole frames [N, K], in one pass."""
        y = self.transformer(self.start(hidden, codes[:, :-1]))[:, 1:]
        return torch.einsum("nkd,kdv->nkv", y, self.audio_head)
