"""Content loss: a small head recognises phonemes or letters in codebook 0 by CTC.

Mimi distils codebook 0 from a speech model instead. CTC: Graves et al. 2006, "Connectionist temporal
classification". The head is discarded after training. Symbols are phonemes if all clips have them, otherwise
letters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..text.phonemes import PHONES

# steps of the head per frame, 50 a second: speech has up to 25 symbols a second, and CTC needs blanks
STEPS = 4

# fixed, so that the head's size doesn't depend on the data; other characters are ignored
LETTERS = "abcdefghijklmnopqrstuvwxyz' "


def spell(text: str, phonemes: str = "") -> list[int]:
    """Classes (from 1) of the phonemes without stress and punctuation, otherwise of the letters."""
    if phonemes:
        return [PHONES.index(c) + 1 for c in phonemes if c in PHONES]
    return [LETTERS.index(c) + 1 for c in text.lower() if c in LETTERS]


class ContentHead(nn.Module):
    """Latent of codebook 0 [B, dim, T] -> log probabilities [B, STEPS * T, classes]."""

    def __init__(self, dim: int, symbols: int, width: int = 256):
        super().__init__()
        self.norm = nn.LayerNorm(dim)  # the scale of latents is not bounded
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
        """Mean CTC loss per symbol of targets [B, S] of ``lengths`` [B] over the ``valid`` [B] samples."""
        losses = ctc(self(latent), targets, lengths)
        return (losses * valid).sum() / valid.sum().clamp(min=1)


def ctc(log_probs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """CTC loss per symbol [B].

    Args:
        log_probs: [B, T, classes]
        targets: [B, S], classes from 1
        lengths: [B], of the targets. The loss is 0 for targets that don't fit into T.
    """
    log_probs = log_probs.transpose(0, 1)
    frames = torch.full_like(lengths, log_probs.shape[0])
    losses = F.ctc_loss(log_probs, targets, frames, lengths, reduction="none", zero_infinity=True)
    return losses / lengths.clamp(min=1)
