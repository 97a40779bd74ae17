"""Codebook 0 should say what is said. Mimi distils it from a speech model; here a small head must read the words off it by CTC.

CTC is Graves et al. 2006's. The head is thrown away after training. Symbols are phonemes where the data has them, else letters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..text.phonemes import PHONES

STEPS = 4  # of the head a frame: 50 a second, since a second of speech has up to 25 symbols and CTC a blank between equal ones


# fixed, so that more speech doesn't change the head; what isn't in them isn't heard
LETTERS = "abcdefghijklmnopqrstuvwxyz' "


def spell(text: str, phonemes: str = "") -> list[int]:
    """Classes (from 1) of the phonemes if there are any, without stress and punctuation, else of the letters of text."""
    if phonemes:
        return [PHONES.index(c) + 1 for c in phonemes if c in PHONES]
    return [LETTERS.index(c) + 1 for c in text.lower() if c in LETTERS]


class ContentHead(nn.Module):
    """Codebook 0's latent [B, dim, T] -> the logarithms of class probabilities [B, STEPS * T, classes]."""

    def __init__(self, dim: int, symbols: int, width: int = 256):
        super().__init__()
        self.norm = nn.LayerNorm(dim)  # latents grow as they please
        self.widen = nn.Conv1d(dim, STEPS * width, 3, padding=1)
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.last = nn.Conv1d(width, symbols + 1, 1)  # class 0 is CTC's blank

    def forward(self, latent: Tensor) -> Tensor:
        x = self.widen(self.norm(latent.transpose(1, 2)).transpose(1, 2))
        x = x.unflatten(1, (-1, STEPS)).permute(0, 1, 3, 2).flatten(2)  # [B, width, T * STEPS]
        for layer in self.mix:
            x = x + F.gelu(layer(x))
        return self.last(x).float().transpose(1, 2).log_softmax(-1)

    def loss(self, latent: Tensor, targets: Tensor, lengths: Tensor, valid: Tensor) -> Tensor:
        """Mean CTC loss a symbol of targets [B, S] of ``lengths`` [B], where ``valid`` [B]: the others are crops of unknown words."""
        each = ctc(self(latent), targets, lengths)
        return (each * valid).sum() / valid.sum().clamp(min=1)


def ctc(log_probs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """CTC loss a symbol [B] of targets [B, S] of ``lengths`` [B], by log probabilities [B, T, classes]; 0 where they don't fit into T."""
    log_probs = log_probs.transpose(0, 1)
    frames = torch.full_like(lengths, log_probs.shape[0])
    return F.ctc_loss(
        log_probs, targets, frames, lengths, reduction="none", zero_infinity=True
    ) / lengths.clamp(min=1)
