"""Limits of what a file may claim: far beyond any model or recording, checked before anything is built.

Files come from strangers. A header of a few bytes can name a billion layers, and a sound file of 2 MB can
hold hours of silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import MisoError

MAX_HEADER = 16 * 2**20  # bytes; the 8B model's header has 40 KB, a workflow in a codes file up to some MB
MAX_JSON = 16 * 2**20  # bytes of a JSON file
MAX_TEXT = 16 * 2**20  # bytes of a table or another file of text

# codes
MAX_IDS = 2**25  # takes * codebooks * frames: 200 MB in memory
MAX_FRAMES = 10**7  # of a take: 9 days at 12.5 frames a second
MIN_FRAME_RATE, MAX_FRAME_RATE = 0.1, 1000.0  # frames per second
MAX_CODEBOOK_SIZE = 2**20
MAX_TAKES = 1024  # sampled or chosen at once

# sound
MAX_RATE = 1_000_000  # Hz
MAX_SAMPLES = 2**27  # of a sound, in all channels: 46 minutes at 48 kHz in mono, 512 MB in memory

Range = tuple[float, float]  # the least and the most

# of one transformer, and of a model
STACK: dict[str, Range] = {
    "layers": (1, 256),
    "heads": (1, 512),
    "kv_heads": (1, 512),
    "dim": (2, 2**16),
    "inter": (1, 2**18),
}
MODEL: dict[str, Range] = {
    "text_vocab": (1, 2**21),
    "audio_vocab": (1, MAX_CODEBOOK_SIZE),
    "codebooks": (2, 128),
    "codebook_size": (1, MAX_CODEBOOK_SIZE),
    "positions": (16, 2**17),
    "top_k": (0, 2**20),
}
MODEL_NUMBERS: dict[str, Range] = {
    "frame_rate": (MIN_FRAME_RATE, MAX_FRAME_RATE),
    "rope_base": (1, 1e12),
    "norm_eps": (0, 1),
    "temperature": (0, 100),
    "longest_line": (0, 1e6),  # seconds
}
MIMI: dict[str, Range] = {
    "sample_rate": (1, MAX_RATE),
    "filters": (1, 2**12),
    "kernel": (1, 1024),
    "last_kernel": (1, 1024),
    "residual_kernel": (1, 1024),
    "residual_layers": (0, 8),
    "dilation_base": (1, 4),
    "compress": (1, 1024),
    "dim": (2, 2**14),
    "heads": (1, 512),
    "encoder_layers": (0, 128),
    "decoder_layers": (0, 128),
    "ff": (1, 2**16),
    "window": (1, 2**14),
    "stride": (1, 64),
    "codebooks": (1, 256),
    "semantic": (1, 256),
    "codebook_size": (1, MAX_CODEBOOK_SIZE),
    "codebook_dim": (1, 2**14),
    "paths": (1, 64),
}
MIMI_RATIOS: Range = (1, 64)
MIMI_MOST_RATIOS = 8
MAX_FRAME_SIZE = 2**18  # samples of a frame
SOURCE_FILTER: dict[str, Range] = {
    "width": (1, 2**14),
    "inner": (1, 2**16),
    "frame_blocks": (0, 128),
    "hop_blocks": (0, 128),
    "hops": (1, 1024),
    "sample_rate": (0, MAX_RATE),
}
DETOKENIZER: dict[str, Range] = {
    "dim": (2, 2**14),
    "inner": (1, 2**16),
    "layers": (1, 128),
    "heads": (1, 512),
    "kv_heads": (1, 512),
    "head_dim": (2, 2**12),
    "kernel": (2, 1024),
    "window": (2, 2**14),
    "codebook_size": (1, MAX_CODEBOOK_SIZE),
    "fft": (8, MAX_FRAME_SIZE),
}
WHISPER: dict[str, Range] = {  # by the names in its config.json
    "d_model": (1, 2**14),
    "encoder_layers": (1, 128),
    "decoder_layers": (1, 128),
    "encoder_attention_heads": (1, 512),
    "decoder_attention_heads": (1, 512),
    "encoder_ffn_dim": (1, 2**17),
    "decoder_ffn_dim": (1, 2**17),
    "vocab_size": (1, 2**20),
    "num_mel_bins": (1, 1024),
    "max_source_positions": (1, 2**14),
    "max_target_positions": (1, 2**14),
}


def is_int(value: object, low: float, high: float) -> bool:
    """Whether it is an int from ``low`` to ``high``."""
    return type(value) is int and low <= value <= high  # a bool is an int to isinstance


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether it is an int or float from ``low`` to ``high``."""
    return type(value) in (int, float) and low <= value <= high  # NaN is not


def check_sizes(
    what: str, values: Mapping[str, Any], limits: Mapping[str, Range], whole: bool = True
) -> None:
    """Raise MisoError unless each of ``limits`` that ``values`` has is a number within it, whole if asked
    for."""
    fits = is_int if whole else is_number
    for name, (low, high) in limits.items():
        if name in values and not fits(values[name], low, high):
            kind = "a whole number" if whole else "a number"
            raise MisoError(
                f"{what} can't have {name} = {shown(values[name])}: it must be {kind} from {low:g} to "
                f"{high:g}.",
                "The file is damaged or of another kind: get it again.",
            )


def shown(value: object) -> str:
    """A value from a file for a message: short whatever it is."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."
