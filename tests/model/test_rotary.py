"""Rotary positions: with complex numbers, and without as on MPS."""

import torch

from miso.model.rotary import rotate, rotation_from


def test_both_forms_are_equal():
    torch.manual_seed(0)
    angles = torch.randn(7, 8)
    cos, sin = angles.cos(), angles.sin()
    for x in (torch.randn(2, 3, 7, 16), torch.randn(2, 7, 3, 16).transpose(1, 2).bfloat16()):
        even, odd = x[..., ::2].float(), x[..., 1::2].float()
        want = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)
        atol = 1e-6 if x.dtype == torch.float32 else 2e-2
        for rotation in (rotation_from(cos, sin), torch.stack((cos, sin))):
            got = rotate(x, rotation)
            assert got.dtype == x.dtype and torch.allclose(got.float(), want, atol=atol)
