"""A model in training: the modules of inference, with what only training needs added from outside.

Dropout is in hooks, so that the modules' code and tensors are those of inference. The depth decoder's table
of projected audio embeddings is computed from two weights at each step, so that both get gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.build import build, canonical_shapes
from ..checkpoints.checkpoint import Checkpoint, save_checkpoint
from ..checkpoints.devices import Precision
from ..model.config import ModelConfig
from ..model.networks import Backbone, DepthDecoder
from ..model.transformer import Layer
from .conversations import Batch
from .loss import Loss, loss

# prefixes here -> published prefixes, longest first
_PUBLISHED = {
    "backbone.transformer.": "backbone.",
    "depth.transformer.": "decoder.",
    "backbone.": "",
    "depth.": "",
}


class TrainedModel(nn.Module):
    """Backbone and depth decoder; its parameters are exactly the published tensors."""

    def __init__(self, backbone: Backbone, depth: DepthDecoder, dropout: float = 0.0):
        super().__init__()
        self.config, self.backbone, self.depth = backbone.config, backbone, depth
        del depth.code_table  # a parameter for inference; here see ``code_table``
        text = backbone.text_embeddings.weight.to(backbone.audio_embeddings.weight.device)
        backbone.text_embeddings = nn.Embedding.from_pretrained(text)  # on the device of the other weights
        self.requires_grad_(True)
        self._fixed_table: Tensor | None = None
        for module in self.modules() if dropout else ():
            if isinstance(module, Layer):
                for block in (module.attn, module.mlp):
                    block.register_forward_hook(lambda m, _, out: F.dropout(out, dropout, m.training))

    @classmethod
    def new(cls, config: ModelConfig, seed: int, device: torch.device, dropout: float = 0.0) -> TrainedModel:
        """Random weights, as in GPT-2: normal with 0.02, output projections scaled by the depth."""
        shapes, generator = canonical_shapes(config), torch.Generator().manual_seed(seed)

        def tensor(name: str) -> Tensor:
            shape = shapes[name]
            if len(shape) == 1:
                return torch.ones(shape)
            layers = (config.depth if name.startswith("decoder.") else config.backbone).layers
            is_output = name.endswith(("attn.output_proj.weight", "mlp.w2.weight"))
            return torch.empty(shape).normal_(
                0, 0.02 / ((2 * layers) ** 0.5 if is_output else 1), generator=generator
            )

        tensors = {name: tensor(name) for name in shapes}  # drawn once: both parts use the audio embeddings
        backbone = build(Backbone, config, "", tensors.__getitem__, device=device)
        return cls(backbone, build(DepthDecoder, config, "", tensors.__getitem__, device=device), dropout)

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        device: torch.device,
        precision: Precision = Precision(),
        dropout: float = 0.0,
    ) -> TrainedModel:
        return cls(
            checkpoint.load_backbone(device, precision), checkpoint.load_depth(device, precision), dropout
        )

    def forward(self, batch: Batch) -> Loss:
        # deleted as a parameter in __init__
        self.depth.code_table = self.code_table()  # type: ignore[assignment]
        return loss(self.backbone, self.depth, *batch)

    def code_table(self) -> Tensor:
        """Audio embeddings of codebooks 0..K-2, projected to the depth decoder's width: [(K-1) * V, D].

        Computed in fp32, as when a checkpoint is loaded for inference.
        """
        embeddings, projection = self.backbone.audio_embeddings.weight, self.depth.projection.weight
        if self._fixed_table is not None:
            return self._fixed_table
        rows = (self.config.codebooks - 1) * self.config.audio_vocab
        with torch.autocast(embeddings.device.type, enabled=False):
            table = (embeddings[:rows].float() @ projection.float().T).to(embeddings.dtype)
        if not (embeddings.requires_grad or projection.requires_grad):
            self._fixed_table = table  # both are frozen
        return table

    def published(self) -> dict[str, Tensor]:
        """All tensors by their published names."""
        return {_published(n): p.detach() for n, p in self.named_parameters()}

    def save(self, path: str | Path, about: dict[str, str], dtype: torch.dtype = torch.float32) -> None:
        save_checkpoint(
            path, self.config, {n: t.to("cpu", dtype) for n, t in self.published().items()}, about
        )


class Average:
    """An exponential moving average of a model's weights."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.mean = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the current weights; the average is shorter in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, self.parameters, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A context in which the model has the averaged weights."""
        current = [p.data for p in self.parameters]
        try:
            for p, mean in zip(self.parameters, self.mean):
                p.data = mean
            yield
        finally:
            for p, data in zip(self.parameters, current):
                p.data = data

    def pack(self) -> dict[str, Tensor]:
        return {f"mean/{n}": t for n, t in zip(self.names, self.mean)}

    def unpack(self, state: dict[str, Tensor]) -> None:
        for n, t in zip(self.names, self.mean):
            t.copy_(state[f"mean/{n}"])


def _published(name: str) -> str:
    """The published name of a parameter."""
    return next(theirs + name[len(ours) :] for ours, theirs in _PUBLISHED.items() if name.startswith(ours))
