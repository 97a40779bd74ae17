"""A codec with random weights that makes audible sound and whose every part matters: for tests, and for the demo's tiny codec."""

from __future__ import annotations

import torch

from .codec import Mimi
from .config import MimiConfig

LOUDNESS = 0.1  # root mean square of what random codes decode to


@torch.no_grad()
def random_mimi(config: MimiConfig | None = None, seed: int = 0, codec: str = "mimi-random") -> Mimi:
    """The same weights for the same sizes and seed, on the CPU in fp32.

    Signals keep their size from layer to layer; layer scales lie between 0.1 and 0.4, so that the transformers shape the sound
    (at their initial 0.01 a fault in one would hardly show); later codebooks are smaller, as residuals are.
    """
    with torch.device("meta"):
        mimi = Mimi(config, codec)
    mimi.to_empty(device="cpu")
    draw = torch.Generator().manual_seed(seed)
    for name, p in mimi.named_parameters():
        if name.endswith("tables"):
            p.normal_(generator=draw)
            p *= 0.9 ** torch.arange(len(p)).view(-1, 1, 1)
        elif "layer_scale" in name:
            p.uniform_(0.1, 0.4, generator=draw)
        elif p.dim() == 1:  # norms start near 1, biases near 0
            p.normal_(float("norm" in name and name.endswith("weight")), 0.05, generator=draw)
        else:
            # an output of a transposed convolution sums two taps of each input channel; weights are [in, out / groups, kernel]
            inputs = (2 if "upsample" in name else 2 * p.shape[0]) if "convtr" in name else p[0].numel()
            p.normal_(0, (1.6 / inputs) ** 0.5, generator=draw)  # 1.6: ELU loses some
    codes = torch.randint(0, mimi.config.codebook_size, (1, mimi.config.codebooks, 4), generator=draw)
    last = mimi.decoder.model[-1].conv
    gain = LOUDNESS / mimi.decode(codes).square().mean().sqrt()
    last.weight *= gain
    last.bias *= gain
    return mimi
