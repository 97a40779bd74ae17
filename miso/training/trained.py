"""A model in training: the inference modules themselves, with what only training needs hung on from outside.

Dropout sits in hooks, so the modules' code and tensors stay those of inference. The depth decoder's table of projected audio
embeddings isn't a weight of its own but follows from two others, so here it is computed at each step, and gradients reach both.
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

_PUBLISHED = {
    "backbone.transformer.": "backbone.",
    "depth.transformer.": "decoder.",
    "backbone.": "",
    "depth.": "",
}  # longest first


class TrainedModel(nn.Module):
    """Backbone and depth decoder as one; its parameters are exactly the published tensors."""

    def __init__(self, backbone: Backbone, depth: DepthDecoder, dropout: float = 0.0):
        super().__init__()
        self.config, self.backbone, self.depth = backbone.config, backbone, depth
        del depth.code_table  # no parameter any more: see ``code_table``
        text = backbone.text_embeddings.weight.to(backbone.audio_embeddings.weight.device)
        backbone.text_embeddings = nn.Embedding.from_pretrained(
            text
        )  # what learns is where everything else is
        self.requires_grad_(True)
        self._fixed_table: Tensor | None = None
        for module in self.modules() if dropout else ():
            if isinstance(module, Layer):
                for block in (module.attn, module.mlp):
                    block.register_forward_hook(lambda m, _, out: F.dropout(out, dropout, m.training))

    @classmethod
    def new(cls, config: ModelConfig, seed: int, device: torch.device, dropout: float = 0.0) -> TrainedModel:
        """Fresh weights, the same for a seed: normal with 0.02, what adds to the residual stream smaller by its depth (GPT-2's)."""
        shapes, generator = canonical_shapes(config), torch.Generator().manual_seed(seed)

        def tensor(name: str) -> Tensor:
            shape = shapes[name]
            if len(shape) == 1:
                return torch.ones(shape)
            layers = (config.depth if name.startswith("decoder.") else config.backbone).layers
            last = name.endswith(("attn.output_proj.weight", "mlp.w2.weight"))
            return torch.empty(shape).normal_(
                0, 0.02 / ((2 * layers) ** 0.5 if last else 1), generator=generator
            )

        drawn = {name: tensor(name) for name in shapes}  # once: two parts ask for the audio embeddings
        return cls(
            *(build(kind, config, "", drawn.__getitem__, device=device) for kind in (Backbone, DepthDecoder)),
            dropout,
        )

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
        self.depth.code_table = self.code_table()
        return loss(self.backbone, self.depth, *batch)

    def code_table(self) -> Tensor:
        """Audio embeddings of codebooks 0..K-2 in the depth decoder's width [(K-1) * V, d], in fp32 as ``weights`` computes it for inference."""
        embeddings, projection = self.backbone.audio_embeddings.weight, self.depth.projection.weight
        if self._fixed_table is not None:
            return self._fixed_table
        rows = (self.config.codebooks - 1) * self.config.audio_vocab
        with torch.autocast(embeddings.device.type, enabled=False):
            table = (embeddings[:rows].float() @ projection.float().T).to(embeddings.dtype)
        if not (embeddings.requires_grad or projection.requires_grad):
            self._fixed_table = table  # neither changes any more
        return table

    def published(self) -> dict[str, Tensor]:
        """All tensors by their published names."""
        return {_published(n): p.detach() for n, p in self.named_parameters()}

    def save(self, path: str | Path, about: dict[str, str], dtype: torch.dtype = torch.float32) -> None:
        save_checkpoint(
            path, self.config, {n: t.to("cpu", dtype) for n, t in self.published().items()}, about
        )


class Average:
    """An exponential moving average of a model's weights, which speak better than the last ones."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.parameters = decay, [p for p in model.parameters() if p.requires_grad]
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.mean = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(
            self.decay, (1 + step) / (10 + step)
        )  # early on the average shouldn't remember the random start
        torch._foreach_lerp_(self.mean, self.parameters, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model's weights are the averages."""
        own = [p.data for p in self.parameters]
        try:
            for p, mean in zip(self.parameters, self.mean):
                p.data = mean
            yield
        finally:
            for p, data in zip(self.parameters, own):
                p.data = data

    def pack(self) -> dict[str, Tensor]:
        return {f"mean/{n}": t for n, t in zip(self.names, self.mean)}

    def unpack(self, state: dict[str, Tensor]) -> None:
        for n, t in zip(self.names, self.mean):
            t.copy_(state[f"mean/{n}"])


def _published(name: str) -> str:
    """A parameter's name here -> the published one."""
    return next(theirs + name[len(ours) :] for ours, theirs in _PUBLISHED.items() if name.startswith(ours))
