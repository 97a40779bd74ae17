"""Sizes of LFM2.5-Audio's detokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import MisoError
from ...limits import DETOKENIZER, MODEL_NUMBERS, check_sizes

CODEBOOKS = 8  # of Mimi's, the first
TOKENS = 6  # of the network, per frame
FRAME_RATE = 12.5  # frames per second
_OVERLAP = 4  # windows that cover a sample
_KINDS = ("conv", "attention")


@dataclass(frozen=True)
class DetokenizerConfig:
    """The published sizes, unless said otherwise. Raises MisoError if they don't go together."""

    dim: int = 512
    inner: int = 2304  # width between an MLP's two linear layers
    layers: tuple[str, ...] = ("conv", "conv", *("attention", "conv") * 3)
    heads: int = 16
    kv_heads: int = 8
    head_dim: int = 32
    kernel: int = 3  # tokens that a convolution reads
    window: int = 30  # tokens that attention reads
    codebook_size: int = 2048
    fft: int = 1280  # samples of a window
    norm_eps: float = 1e-5
    rope_base: float = 1e6

    def __post_init__(self):
        check_sizes("A detokenizer", {**vars(self), "layers": len(self.layers)}, DETOKENIZER)
        check_sizes("A detokenizer", vars(self), MODEL_NUMBERS, whole=False)
        wrong = [kind for kind in self.layers if kind not in _KINDS]
        if wrong or self.heads % self.kv_heads or self.head_dim % 2 or self.fft % (2 * _OVERLAP):
            raise MisoError(
                "The sizes of this detokenizer don't go together.",
                "The file is damaged or of another kind: get it again.",
            )

    @property
    def hop(self) -> int:
        """Samples between two windows."""
        return self.fft // _OVERLAP

    @property
    def frame_size(self) -> int:
        """Samples of a frame."""
        return TOKENS * self.hop

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return round(self.frame_size * FRAME_RATE)

    @property
    def look_ahead(self) -> int:
        """Samples that wait for the next frame, because later windows add to them."""
        return (self.fft - self.hop) // 2
