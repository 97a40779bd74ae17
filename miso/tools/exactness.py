"""Errors of a precision relative to fp32, on random weights of any size."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checkpoints.build import build, random_tensors
from ..checkpoints.devices import Precision
from ..generation.depth import DepthSampler
from ..generation.paths import borrow_frame, pick_path
from ..model.config import ModelConfig
from ..model.networks import Backbone, DepthDecoder
from ..model.sampling import Sampling


@torch.no_grad()  # not inference mode: a path may change the layout of a matrix
def exactness(
    config: ModelConfig,
    device: torch.device,
    precision: Precision,
    path: str = "auto",
    *,
    rows: int = 12,
    frames: int = 12,
) -> dict[str, float]:
    """Relative errors ||x - reference|| / ||reference|| after ``rows`` rows, over ``frames`` frames.

    - ``hidden``: hidden states from which frames are drawn, computed on ``path``.
    - ``first_logits``: logits of codebook 0 from these hidden states.
    - ``depth_logits``: logits of the depth decoder for the reference's hidden states, in plain PyTorch.

    The reference is computed in fp32 with the weights before rounding. For the 8B model it needs 33 GB on the
    device.
    """
    tensor, generator = random_tensors(config, 0, device=device), torch.Generator().manual_seed(0)
    shape = (rows + frames, config.codebooks)
    codes = torch.randint(1, config.codebook_size, shape, generator=generator).to(device)
    x, reference = _reference(config, device, codes, rows)

    backbone = build(Backbone, config, "random", tensor, device=device, precision=precision)
    decoder = build(DepthDecoder, config, "random", tensor, device=device, precision=precision)
    depth, x = DepthSampler(decoder), x.to(precision.dtype)
    path, states = pick_path(path, backbone, depth, 1).path, []
    with borrow_frame(path, backbone, depth, Sampling(), 1, rows + frames, 1) as frame:
        state = frame.state
        for n in range(rows, rows + frames):
            backbone(x[:, :n], torch.arange(n, device=device), state.cache, window=n)
            state.x.copy_(x[:, n : n + 1])
            state.position.fill_(n)
            state.counter.zero_()
            frame()
            states.append(state.hidden[0, 0].clone())
    backbone.forget()
    hidden = torch.stack(states)
    results = {
        "hidden": hidden,
        "first_logits": backbone.codebook0_head(hidden),
        "depth_logits": decoder.teacher_forced(reference["hidden"].to(precision.dtype), codes[rows:]),
    }
    return {name: _relative(results[name], reference[name]) for name in reference}


def _reference(
    config: ModelConfig, device: torch.device, codes: Tensor, rows: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The embedded rows [1, S, D] of codes [S, K], and the fp32 results after the first ``rows``."""
    tensor = random_tensors(config, 0, device=device)
    backbone = build(Backbone, config, "random", tensor, device=device)
    x = backbone.embed_frame(codes).transpose(0, 1)
    hidden = backbone(x)[0, rows:]
    first_logits = backbone.codebook0_head(hidden)
    del backbone  # before the depth decoder is built
    decoder = build(DepthDecoder, config, "random", tensor, device=device)
    depth_logits = decoder.teacher_forced(hidden, codes[rows:])
    return x, {"hidden": hidden, "first_logits": first_logits, "depth_logits": depth_logits}


def _relative(x: Tensor, reference: Tensor) -> float:
    return float((x.float() - reference).norm() / reference.norm())
