"""Muon: momentum, made orthogonal, for the matrices of hidden layers (Jordan et al. 2024, "Muon: an optimizer for hidden layers").

torch.optim.Muon is the same, but a matrix at a time and always in bf16, which a CPU without instructions for it has to emulate: nano's
step took 12 s more there. This takes 0.6 s, with equal matrices stacked and in the type that ``autocast`` finds.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .run import autocast

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients: five rounds bring all singular values near 1
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Updates have the size that AdamW's have (0.2 root mean square; Liu et al. 2025, arXiv 2502.16982), so both take the same rates."""

    def __init__(self, params: Iterable[Tensor], lr: float, decay: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_size: dict[tuple[int, ...], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_size.setdefault(tuple(sorted(p.shape)), []).append(p)
            for size, params in by_size.items():
                updates = orthogonal(
                    torch.stack([_lying(self._momentum(p, group["momentum"])) for p in params])
                )
                for p, update in zip(params, updates):
                    p.mul_(1 - group["lr"] * group["decay"])
                    p.add_(
                        update if update.shape == p.shape else update.T,
                        alpha=-group["lr"] * 0.2 * size[-1] ** 0.5,
                    )

    def _momentum(self, p: Tensor, share: float) -> Tensor:
        """Nesterov's: the gradient, and the average that it has just moved."""
        average = self.state[p].setdefault("average", torch.zeros_like(p))
        average.lerp_(p.grad, 1 - share)
        return p.grad.lerp(average, share)


def orthogonal(x: Tensor) -> Tensor:
    """Matrices [N, m, n], m <= n, with all singular values brought to about 1, by Newton-Schulz iteration."""
    a, b, c = _QUINTIC
    x = x / x.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-7)
    with autocast(x.device):
        for _ in range(_ROUNDS):
            square = x @ x.mT
            x = a * x + (b * square + c * square @ square) @ x
    return x


def _lying(x: Tensor) -> Tensor:
    return x if x.shape[0] <= x.shape[1] else x.T
