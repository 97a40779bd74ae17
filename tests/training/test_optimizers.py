"""Muon, and the average of weights."""

import torch

from miso.training.muon import Muon
from miso.training.trained import Average


def test_muon_makes_updates_orthogonal():
    torch.manual_seed(0)
    wide, tall = (torch.nn.Parameter(torch.zeros(s)) for s in ((16, 48), (48, 16)))
    # mostly in four directions
    wide.grad = torch.randn(16, 4) @ torch.randn(4, 48) + 0.05 * torch.randn(16, 48)
    tall.grad = wide.grad.T.clone()
    Muon([wide, tall], lr=0.1, decay=0.0).step()
    values = torch.linalg.svdvals(-wide.detach()) / (0.1 * 0.2 * 48**0.5)
    assert values.min() > 0.3 and values.max() < 1.3
    before = torch.linalg.svdvals(wide.grad)
    assert before[4] < 0.1 * before[0]
    assert torch.equal(wide.T, tall) and (wide * wide.grad).sum() < 0
    assert 0.05 < wide.square().mean().sqrt() / 0.1 < 0.3  # about AdamW's
    # a single matrix gets the same update
    alone = torch.nn.Parameter(torch.zeros(16, 48))
    alone.grad = wide.grad.clone()
    Muon([alone], lr=0.1, decay=0.0).step()
    assert torch.allclose(alone, wide, atol=1e-6)


def test_average_of_weights():
    layer = torch.nn.Linear(2, 2)
    average, first = Average(layer, 0.5), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    average.update(1000)
    with average.applied():
        assert torch.allclose(layer.weight, first + 0.5)
    assert torch.allclose(layer.weight, first + 1)
