"""What the backbone handed the depth decoder, kept so that the depth decoder can run again alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden states [B, T, D] on the CPU, ``lengths`` [B] frames of each take, and the fingerprint of the checkpoint they come from."""

    tensor: Tensor
    lengths: Tensor
    fingerprint: str
