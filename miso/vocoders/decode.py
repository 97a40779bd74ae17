"""Decode a container of codes, each take to its own length."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..errors import MisoError
from ..progress import Progress
from .vocoder import Vocoder, check_codes


class Decoded(NamedTuple):
    """The waveforms of takes that may end at different times."""

    waveform: Tensor  # fp32 [B, 1, frame_size * T] on the CPU, silent beyond each take's end
    samples: list[int]  # of each take


def decode_codes(vocoder: Vocoder, codes: Codes, progress: Progress | None = None) -> Decoded:
    """Decode every take of ``codes`` to its own length.

    A take of n frames gives exactly n * frame_size samples: its last frame is complete, and padding is not
    decoded. Raises MisoError as ``check_codes`` does, also for another codec id, frame rate or codebook size.
    """
    tensor, lengths = codes.tensor, codes.lengths.to(codes.tensor.device)
    beyond = torch.arange(tensor.shape[-1], device=tensor.device) >= lengths[:, None, None]  # [B, 1, T]
    tensor = tensor.masked_fill(beyond, 0)
    check_codes(vocoder, tensor, codes.codec, codes.frame_rate)
    if codes.codebook_size != vocoder.codebook_size:
        raise MisoError(
            f"These codes come from codebooks of {codes.codebook_size} entries, but the codebooks of "
            f"'{vocoder.codec}' have {vocoder.codebook_size}.",
            "Load the vocoder that these codes were made for.",
        )
    wave = vocoder.decode(tensor, progress)
    samples = [n * vocoder.frame_size for n in lengths.tolist()]
    for take, end in enumerate(samples):
        wave[take, :, end:] = 0
    return Decoded(wave, samples)
