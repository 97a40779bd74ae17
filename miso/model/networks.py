"""The two networks: the backbone draws codebook 0 of a frame, the depth decoder the other codebooks.

They share no module, so that each can be moved, offloaded or swapped alone: the depth decoder has its own
copy of the audio embeddings, projected to its width in advance (see ``checkpoints.build``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .packed import PackedMatrix
from .transformer import KVCache, Transformer


class TextEmbeddings(nn.Embedding):
    """Text embeddings that stay in the CPU's memory when the model is on a CUDA device.

    They take up to a gigabyte, of which a prompt reads a few rows and a frame none.
    """

    @staticmethod
    def place(device: torch.device) -> torch.device:
        """The device of the text embeddings when the rest of the model is on ``device``."""
        return torch.device("cpu") if device.type == "cuda" else device

    def _apply(self, fn, recurse=True):
        if self.weight.is_meta:  # no values to move yet
            return super()._apply(fn, recurse)
        target = fn(self.weight.data[:0])
        self.weight.data = self.weight.data.to(self.place(target.device), target.dtype)
        return self


class Backbone(nn.Module):
    """From rows of text ids and codes to hidden states and logits of codebook 0."""

    kept_frame: Any  # a captured frame kept for the next run; see ``generation.paths``
    kept_prompts: Any  # keys and values kept for the next run; see ``generation.prompt_cache``
    bytes_on_cpu: (
        int  # of layers that stay on the CPU wherever the model is moved; see ``checkpoints.offload``
    )

    def __init__(self, config: ModelConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        dim = config.backbone.dim
        self.text_embeddings = TextEmbeddings(config.text_vocab, dim)
        # row = codebook * audio_vocab + code
        self.audio_embeddings = nn.Embedding(config.codebooks * config.audio_vocab, dim)
        self.transformer = Transformer(
            config.backbone, positions=config.positions, rope_base=config.rope_base, norm_eps=config.norm_eps
        )
        self.codebook0_head = nn.Linear(dim, config.audio_vocab, bias=False)
        self.forget()
        self.bytes_on_cpu = 0

    def forget(self) -> None:
        """Drop what is kept for the next run.

        A kept frame refers to its backbone, so that without this the weights of a backbone that nobody uses
        any more stay in memory until Python's garbage collection.
        """
        self.kept_frame = self.kept_prompts = None

    def _apply(self, fn, recurse=True):
        self.forget()
        return super()._apply(fn, recurse)

    def embed(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Embeddings [B, S, D] of rows [B, S, K+1] (K codes, then a text id): the sum of the unmasked ones.

        ``mask`` [B, S, K+1] is True where a row counts. Both may be on the CPU.
        """
        device, text_device = self.audio_embeddings.weight.device, self.text_embeddings.weight.device
        text = self.text_embeddings(rows[..., -1].to(text_device)) * mask[..., -1:].to(text_device)
        codes, code_mask = rows[..., :-1].to(device), mask[..., :-1].to(device)
        codes = codes + torch.arange(self.config.codebooks, device=device) * self.config.audio_vocab
        # in chunks of rows, because the K embeddings of each row take K times the memory of the result
        audio = [
            (self.audio_embeddings(part) * part_mask[..., None]).sum(2)
            for part, part_mask in zip(codes.split(64, 1), code_mask.split(64, 1))
        ]
        return torch.cat(audio, 1) + text.to(device)

    def embed_frame(self, codes: Tensor) -> Tensor:
        """The row [B, 1, D] of a frame of codes [B, k <= K]."""
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
    """Within one frame: from the hidden state and the codes drawn so far to the logits of the next codebook.

    Position 0 is the projected hidden state, position i + 1 the projected embedding of the code of codebook
    i.
    """

    def __init__(self, config: ModelConfig, fingerprint: str = ""):
        super().__init__()
        self.config, self.fingerprint = config, fingerprint
        dim, steps = config.depth.dim, config.codebooks - 1
        self.projection = nn.Linear(config.backbone.dim, dim, bias=False)
        # projected audio embeddings of codebooks 0 to K-2
        self.code_table = nn.Parameter(torch.empty(steps * config.audio_vocab, dim))
        self.transformer = Transformer(
            config.depth, positions=config.codebooks, rope_base=config.rope_base, norm_eps=config.norm_eps
        )
        self.audio_head = nn.Parameter(torch.empty(steps, dim, config.audio_vocab))
        self._heads = [PackedMatrix() for _ in range(steps)]

    def _apply(self, fn, recurse=True):
        self._heads = [PackedMatrix() for _ in self._heads]  # frees the copies
        return super()._apply(fn, recurse)

    def embed(self, codes: Tensor, first: int = 0) -> Tensor:
        """Rows [N, k, d] of codes [N, k] of codebooks first to first + k - 1."""
        offsets = torch.arange(first, first + codes.shape[1], device=codes.device) * self.config.audio_vocab
        return self.code_table[codes + offsets]

    def start(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """The first rows [N, k+1, d] of frames with hidden states [N, D] and first codes [N, k]."""
        return torch.cat((self.projection(hidden)[:, None], self.embed(codes)), 1)

    def logits(self, hidden: Tensor, codebook: int) -> Tensor:
        """Logits [N, V] of ``codebook`` (1 to K-1) from the transformer's output [N, d] at that position."""
        head = self.audio_head[codebook - 1]
        y = self._heads[codebook - 1](hidden, head.T)
        return hidden @ head if y is None else y

    def teacher_forced(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Logits [N, K-1, V] of codebooks 1 to K-1 for hidden states [N, D] and whole frames [N, K]."""
        y = self.transformer(self.start(hidden, codes[:, :-1]))[:, 1:]
        return torch.einsum("nkd,kdv->nkv", y, self.audio_head)
