"""The sizes of a Mimi codec."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from ...errors import MisoError


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
        names = [f.name for f in dataclasses.fields(self) if f.type == "int"]
        least = {name: 0 if "layers" in name else 1 for name in names}
        wrong = [n for n in names if not isinstance(getattr(self, n), int) or getattr(self, n) < least[n]]
        if wrong or not self.ratios or any(not isinstance(r, int) or r < 1 for r in self.ratios):
            sizes = ", ".join(f"{n} = {getattr(self, n)!r}" for n in wrong or ["ratios"])
            raise MisoError(f"These sizes of a Mimi codec are not positive integers: {sizes}.")
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
            return cls(**json.loads(text))
        except (ValueError, TypeError) as e:
            if isinstance(e, MisoError):
                raise
            raise MisoError(
                f"The sizes in this codec file's metadata can't be read: {e}.",
                "The file is damaged, or made by a newer version of this pack.",
            ) from e
