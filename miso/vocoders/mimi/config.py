"""The sizes of a Mimi codec."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from ...errors import MisoError
from ...files import parse_json
from ...limits import (
    MAX_FRAME_SIZE,
    MIMI,
    MIMI_MOST_RATIOS,
    MIMI_RATIOS,
    check_sizes,
    is_int,
    is_number,
    shown,
)


@dataclass(frozen=True)
class MimiConfig:
    """The sizes of a codec; the defaults are those of Kyutai's published one.

    Sizes that tensor shapes show are read from them (see ``weights``), the others from a file's metadata.
    """

    sample_rate: int = 24_000  # Hz
    # SEANet: convolutions between samples and the token rate
    filters: int = 64  # channels at the sample rate; doubled at each of the ratios
    ratios: tuple[int, ...] = (8, 6, 5, 4)  # upsampling in the decoder's order; the encoder reverses it
    kernel: int = 7
    last_kernel: int = 3
    residual_kernel: int = 3
    residual_layers: int = 1  # residual blocks at each ratio
    dilation_base: int = 2  # block j at a ratio has the dilation dilation_base ** j
    compress: int = 2  # factor by which a residual block is narrower inside
    # transformers at the token rate (25 Hz), one before and one after the quantizer
    dim: int = 512
    heads: int = 8
    encoder_layers: int = 8
    decoder_layers: int = 8
    ff: int = 2048
    window: int = 250  # tokens a query sees, itself included
    rope_base: float = 10_000.0
    layer_scale: float = 0.01  # initial value
    stride: int = 2  # tokens per frame
    # quantizer
    codebooks: int = 32
    semantic: int = 1  # the first codebooks, quantized separately; the others are residuals of each other
    codebook_size: int = 2048
    codebook_dim: int = 256
    # paths kept in the search for acoustic codes; Kyutai's encoders keep one. Not compared: any value gives
    # codes of the same codec.
    paths: int = dataclasses.field(default=1, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "ratios", tuple(self.ratios))  # JSON brings a list
        check_sizes("A Mimi codec", vars(self), MIMI)
        if not 0 < len(self.ratios) <= MIMI_MOST_RATIOS or not all(
            is_int(r, *MIMI_RATIOS) for r in self.ratios
        ):
            raise MisoError(f"A Mimi codec can't have the ratios {shown(self.ratios)}.")
        if self.frame_size > MAX_FRAME_SIZE:
            raise MisoError(f"A Mimi codec can't have frames of {self.frame_size} samples.")
        if not (is_number(self.rope_base, 1, 1e12) and is_number(self.layer_scale, 0, 1e6)):
            raise MisoError(
                f"A Mimi codec can't have the numbers {shown((self.rope_base, self.layer_scale))}."
            )
        if self.dim % (2 * self.heads):
            raise MisoError(
                f"A Mimi codec of dim {self.dim} can't have {self.heads} heads: their size must be even."
            )
        if self.semantic > self.codebooks:
            raise MisoError(
                f"A Mimi codec of {self.codebooks} codebooks can't have {self.semantic} semantic ones."
            )

    @property
    def token_size(self) -> int:
        """Samples per token of the transformers."""
        return math.prod(self.ratios)

    @property
    def frame_size(self) -> int:
        """Samples per frame of codes: 1920 (80 ms) at the published size."""
        return self.token_size * self.stride

    @property
    def frame_rate(self) -> float:
        """Frames per second: 12.5 at the published size."""
        return self.sample_rate / self.frame_size

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> MimiConfig:
        """The reverse of ``to_json``. Raises MisoError if the text can't be read."""
        try:
            return cls(**parse_json(text, "The description of the codec"))
        except TypeError as e:
            raise MisoError(
                f"The sizes in this codec file's metadata can't be read: {e}.",
                "The file is damaged, or made by a newer version of this pack.",
            ) from e
