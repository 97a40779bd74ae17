"""How far from fp32 a precision's numbers are, on random weights of any size."""

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


@torch.no_grad()  # not inference mode: a step may lay a matrix out anew, which tensors made there don't allow
def exactness(
    config: ModelConfig,
    device: torch.device,
    precision: Precision,
    path: str = "auto",
    *,
    rows: int = 12,
    frames: int = 12,
) -> dict[str, float]:
    """||got - want|| / ||want|| of the hidden states that frames are drawn from, on ``path``, and of the logits of codebook 0 that follow
    from them; and of the depth decoder's logits given the same hidden state, in plain PyTorch. What is wanted is computed in fp32 with the
    weights as they are before they are rounded: for the 8B size that needs 33 GB on the device for a while.
    """
    tensor, generator = random_tensors(config, 0, device=device), torch.Generator().manual_seed(0)
    codes = torch.randint(1, config.codebook_size, (rows + frames, config.codebooks), generator=generator).to(
        device
    )

    backbone = build(Backbone, config, "random", tensor, device=device)
    x = backbone.embed_frame(codes).transpose(0, 1)
    hidden = backbone(x)[0, rows:]
    want = {"hidden": hidden, "first_logits": backbone.codebook0_head(hidden)}
    del backbone  # before there is another
    want["depth_logits"] = build(DepthDecoder, config, "random", tensor, device=device).teacher_forced(
        hidden, codes[rows:]
    )

    backbone, decoder = (
        build(kind, config, "random", tensor, device=device, precision=precision)
        for kind in (Backbone, DepthDecoder)
    )
    depth, x, made = DepthSampler(decoder), x.to(precision.dtype), []
    with borrow_frame(
        pick_path(path, backbone, depth, 1), backbone, depth, Sampling(), 1, rows + frames, 1
    ) as frame:
        state = frame.state
        for n in range(rows, rows + frames):
            backbone(x[:, :n], torch.arange(n, device=device), state.cache, window=n)
            state.x.copy_(x[:, n : n + 1])
            state.position.fill_(n)
            state.counter.zero_()
            frame()
            made.append(state.hidden[0, 0].clone())
    backbone.kept_frame = None  # which holds the backbone in turn
    made = torch.stack(made)
    got = {
        "hidden": made,
        "first_logits": backbone.codebook0_head(made),
        "depth_logits": decoder.teacher_forced(hidden.to(precision.dtype), codes[rows:]),
    }
    return {name: _relative(got[name], want[name]) for name in want}


def _relative(got: Tensor, want: Tensor) -> float:
    return float((got.float() - want).norm() / want.norm())
