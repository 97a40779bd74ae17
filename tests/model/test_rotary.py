"""Rotary positions: by complex numbers, and as MPS gets them."""

import torch

from miso.model.rotary import rotate, turn_by


def test_both_ways_are_the_same():
    torch.manual_seed(0)
    angles = torch.randn(7, 8)
    for x in (torch.randn(2, 3, 7, 16), torch.randn(2, 7, 3, 16).transpose(1, 2).bfloat16()):
        want = torch.empty_like(x, dtype=torch.float32)
        even, odd = x[..., ::2].float(), x[..., 1::2].float()
        want[..., ::2], want[..., 1::2] = (
            even * angles.cos() - odd * angles.sin(),
            odd * angles.cos() + even * angles.sin(),
        )
        for turn in (turn_by(angles.cos(), angles.sin()), torch.stack((angles.cos(), angles.sin()))):
            got = rotate(x, turn)
            assert got.dtype == x.dtype and torch.allclose(
                got.float(), want, atol=1e-6 if x.dtype == torch.float32 else 2e-2
            )
