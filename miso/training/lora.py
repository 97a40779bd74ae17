"""LoRA (Hu et al. 2021, arXiv 2106.09685): trains a low-rank update of each matrix of the transformers.

At the end the updates are merged into their matrices, so that the result is an ordinary checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .trained import TrainedModel

SCALE = 2.0  # the paper's alpha / rank, with the usual alpha of twice the rank


class Adapter(nn.Module):
    """The update SCALE * up @ down of a matrix [outputs, inputs], initially 0, in fp32."""

    def __init__(self, inputs: int, outputs: int, rank: int, device: torch.device):
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, inputs, device=device) * inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return (SCALE * (x.to(self.down.dtype) @ self.down.T) @ self.up.T).to(x.dtype)


def add_lora(model: TrainedModel, rank: int) -> None:
    """Freeze the model, and add an adapter to every matrix of its layers."""
    model.requires_grad_(False)
    for stack in (model.backbone.transformer, model.depth.transformer):
        for module in list(stack.layers.modules()):
            if isinstance(module, nn.Linear):
                module.lora = Adapter(module.in_features, module.out_features, rank, module.weight.device)
                module.register_forward_hook(lambda m, args, out: out + m.lora(args[0]))


def merged(model: TrainedModel) -> dict[str, Tensor]:
    """The model's tensors by their published names, with adapters merged into their matrices."""
    tensors = model.published()
    adapters = {n[: -len(".lora.up")]: tensors.pop(n) for n in list(tensors) if n.endswith(".lora.up")}
    for name, up in adapters.items():
        down, weight = tensors.pop(f"{name}.lora.down"), tensors[f"{name}.weight"]
        tensors[f"{name}.weight"] = (weight.float() + SCALE * up @ down).to(weight.dtype)
    return tensors
