"""A codec with random weights, for tests and the demo: its output is audible, and every part affects it."""

from __future__ import annotations

from typing import cast

import torch

from .codec import Mimi
from .config import MimiConfig
from .seanet import CausalConv1d

LOUDNESS = 0.1  # root mean square of decoded random codes


@torch.no_grad()
def random_mimi(config: MimiConfig | None = None, seed: int = 0, codec: str = "mimi-random") -> Mimi:
    """A codec on the CPU in fp32; sizes and seed determine its weights.

    Signals keep their scale from layer to layer. Layer scales are between 0.1 and 0.4: at their initial 0.01,
    an error in a transformer would hardly show. Later codebooks have smaller vectors, as residuals do.
    """
    with torch.device("meta"):
        mimi = Mimi(config, codec)
    mimi.to_empty(device="cpu")
    draw = torch.Generator().manual_seed(seed)
    for name, p in mimi.named_parameters():
        if name.endswith("tables"):
            p.normal_(generator=draw)
            p.mul_(0.9 ** torch.arange(len(p)).view(-1, 1, 1))
        elif "layer_scale" in name:
            p.uniform_(0.1, 0.4, generator=draw)
        elif p.dim() == 1:  # norms start near 1, biases near 0
            p.normal_(float("norm" in name and name.endswith("weight")), 0.05, generator=draw)
        else:
            # A transposed convolution has weights [in, out / groups, kernel]; an output sums two taps per
            # input.
            inputs = (2 if "upsample" in name else 2 * p.shape[0]) if "convtr" in name else p[0].numel()
            p.normal_(0, (1.6 / inputs) ** 0.5, generator=draw)  # 1.6 makes up for ELU
    codes = torch.randint(0, mimi.config.codebook_size, (1, mimi.config.codebooks, 4), generator=draw)
    last = cast(CausalConv1d, mimi.decoder.model[-1]).conv
    assert last.bias is not None
    gain = LOUDNESS / mimi.decode(codes).square().mean().sqrt()
    last.weight.mul_(gain)
    last.bias.mul_(gain)
    return mimi
