"""The sizes of a Mimi codec. The defaults are Kyutai's published one; a small codec is other numbers in the same code."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from ...errors import MisoError


@dataclass(frozen=True)
class MimiConfig:
    """All sizes; what can be read off tensor shapes is read off them (see ``layouts``), the rest comes from file metadata."""

    sample_rate: int = 24_000  # Hz
    # SEANet: convolutions between samples and the token rate
    filters: int = 64  # channels at the sample rate; doubled at each of the ratios
    ratios: tuple[int, ...] = (
        8,
        6,
        5,
        4,
    )  # upsampling factors in the decoder's order; the encoder goes backwards
    kernel: int = 7
    last_kernel: int = 3
    residual_kernel: int = 3
    residual_layers: int = 1  # residual blocks at each ratio
    dilation_base: int = 2  # the j-th of those blocks is dilated by dilation_base ** j
    compress: int = 2  # a residual block is this much narrower inside
    # transformers at the token rate (25 Hz), one on either side of the quantizer
    dim: int = 512
    heads: int = 8
    encoder_layers: int = 8
    decoder_layers: int = 8
    ff: int = 2048
    window: int = 250  # tokens a query sees, itself included
    rope_base: float = 10_000.0
    layer_scale: float = 0.01  # where training starts
    stride: int = 2  # tokens a frame
    # quantizer
    codebooks: int = 32
    semantic: int = 1  # the first codebooks, quantized on their own; the rest are residuals of one another
    codebook_size: int = 2048
    codebook_dim: int = 256
    # kept while acoustic codes are searched for; Kyutai's encoders keep one. No size: what else is made for these codes serves all the same
    paths: int = dataclasses.field(default=1, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "ratios", tuple(self.ratios))  # JSON brings a list
        whole = [f.name for f in dataclasses.fields(self) if f.type == "int"]
        wrong = [
            n
            for n in whole
            if not isinstance(getattr(self, n), int) or getattr(self, n) < ("layers" not in n)
        ]
        if wrong or not self.ratios or any(not isinstance(r, int) or r < 1 for r in self.ratios):
            sizes = ", ".join(f"{n} = {getattr(self, n)!r}" for n in wrong or ["ratios"])
            raise MisoError(f"These sizes of a Mimi codec are not positive whole numbers: {sizes}.")
        if self.dim % (2 * self.heads):
            raise MisoError(
                f"A Mimi codec of dim {self.dim} can't have {self.heads} heads: a head needs an even size."
            )
        if self.semantic > self.codebooks:
            raise MisoError(
                f"A Mimi codec of {self.codebooks} codebooks can't have {self.semantic} semantic ones."
            )

    @property
    def token_size(self) -> int:
        """Samples a token of the transformers stands for."""
        return math.prod(self.ratios)

    @property
    def frame_size(self) -> int:
        """Samples a frame of codes stands for: 1920, that is 80 ms."""
        return self.token_size * self.stride

    @property
    def frame_rate(self) -> float:
        """Frames a second: 12.5."""
        return self.sample_rate / self.frame_size

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> MimiConfig:
        """The reverse of ``to_json``. Raises MisoError on anything else."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as e:
            if isinstance(e, MisoError):
                raise
            raise MisoError(
                f"The sizes in this codec file's metadata can't be read: {e}.",
                "It is damaged, or made by a newer version of this pack.",
            ) from e
