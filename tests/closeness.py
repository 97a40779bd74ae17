"""How close numbers are to those that they should be."""

import torch


def relative(got: torch.Tensor, want: torch.Tensor) -> float:
    """The error as a part of what is wanted, both as vectors."""
    return float((got.float() - want.float()).norm() / want.float().norm())
