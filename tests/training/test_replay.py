"""A step recorded as a CUDA graph learns what the same step learns when it is called."""

import pytest
import torch

from miso.training.replay import Replayed
from miso.training.run import adamw, set_rate


def _learnt(device, replayed):
    """Weights after 12 steps of two kinds, and the loss of each."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 8)).to(device)
    optimizer = adamw(net.parameters(), 1e-2, (0.8, 0.97), 0.01)

    def step(power, x):
        loss = (net(x) - x).abs().pow(power).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    learn, losses = Replayed(step, device) if replayed else lambda kind, *inputs: step(*kind, *inputs), []
    for i in range(12):
        set_rate(optimizer, 1e-2 / (i + 1))
        losses.append(
            float(
                learn((1 + i % 2,), torch.randn(4, 8, generator=torch.Generator().manual_seed(i)).to(device))[
                    "loss"
                ]
            )
        )
    return [p.detach().cpu() for p in net.parameters()], losses


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_replayed_step_learns_what_a_called_one_does(device):
    device = torch.device(device)
    (weights, losses), (others, theirs) = _learnt(device, True), _learnt(device, False)
    assert losses == pytest.approx(theirs, rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(weights, others))
