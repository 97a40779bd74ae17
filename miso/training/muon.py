"""Muon, an optimizer that orthogonalises the momentum of matrices.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".

torch.optim.Muon computes the same, but one matrix at a time and always in bf16, which CPUs without bf16
instructions emulate: a step of nano took 12 s longer there. This one takes 0.6 s: it stacks matrices of equal
sizes and uses the dtype of ``autocast``.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .run import autocast

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients: five iterations bring singular values near 1
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon with updates scaled to the RMS of AdamW's, 0.2, so that both use the same learning rates.

    The scale is that of Liu et al. 2025 (arXiv 2502.16982). ``decay`` is decoupled weight decay.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, decay: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure is used
        for group in self.param_groups:
            by_size: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_size.setdefault(tuple(sorted(p.shape)), []).append((p, p.grad))
            for size, params in by_size.items():
                momenta = [_wide(self._momentum(p, grad, group["momentum"])) for p, grad in params]
                scale = 0.2 * size[-1] ** 0.5
                for (p, _), update in zip(params, orthogonal(torch.stack(momenta))):
                    p.mul_(1 - group["lr"] * group["decay"])
                    p.add_(update if update.shape == p.shape else update.T, alpha=-group["lr"] * scale)

    def _momentum(self, p: Tensor, grad: Tensor, momentum: float) -> Tensor:
        """Nesterov momentum: the gradient interpolated with its updated moving average."""
        average = self.state[p].setdefault("average", torch.zeros_like(p))
        average.lerp_(grad, 1 - momentum)
        return grad.lerp(average, momentum)


def orthogonal(x: Tensor) -> Tensor:
    """Matrices [N, m, n], m <= n, with singular values brought to about 1 by Newton-Schulz iterations."""
    a, b, c = _QUINTIC
    x = x / x.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-7)
    with autocast(x.device):
        for _ in range(_ITERATIONS):
            square = x @ x.mT
            x = a * x + (b * square + c * square @ square) @ x
    return x


def _wide(x: Tensor) -> Tensor:
    """The matrix or its transpose, with no more rows than columns."""
    return x if x.shape[0] <= x.shape[1] else x.T
