"""How other models write codes of Mimi.

Mimi's codes have no delays and no special ids. Models that speak them add both: they shift codebooks against
each other, write a row of text, and fill what has no sound with ids that Mimi doesn't have. The entries of
``LAYOUTS`` say what a model adds; the numbers are those of its published code or config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import MisoError

_MOSHI = frozenset((-2, -1, 2048))  # not generated, no input, before the first frame


@dataclass(frozen=True)
class Layout:
    """What a model adds to codes.

    ``codebooks``: how many a stream may have. ``delays``: frames that codebook 0 and the others are late;
    None if they are in the checkpoint's config. ``special``: ids that are no sound. ``end``: the frame that
    ends speech, of ``zeros``, or one whose codebook 0 is ``special``; "" if none is marked.
    """

    name: str
    about: str
    codebooks: tuple[int, ...]
    streams: int = 1  # side by side, the model's own first
    text: bool = False  # whether a row of text ids may come first
    delays: tuple[int, int] | None = (0, 0)
    special: frozenset[int] = frozenset()
    end: str = ""

    def rows(self) -> dict[int, tuple[int, bool]]:
        """Numbers of rows that a file may have -> codebooks of a stream, and whether text comes first."""
        rows = {}
        for codebooks in self.codebooks:
            for streams in range(1, self.streams + 1):
                rows[codebooks * streams] = (codebooks, False)
                if self.text:
                    rows[codebooks * streams + 1] = (codebooks, True)
        return rows


_CSM = frozenset((2048, 2049, 2050))
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("plain", "as a codec gives them", tuple(range(1, 33))),
        Layout("csm", "Miso and Sesame's CSM", (32,), special=_CSM, end="zeros"),
        Layout("marvis", "Marvis 0.2", (32,), special=_CSM, end="zeros"),
        Layout("moshi", "Moshi", (8,), 2, True, (0, 1), _MOSHI),
        Layout("kyutai-tts", "Kyutai TTS", (8, 16, 24, 32), 1, True, (0, 2), _MOSHI),
        Layout("lfm2-audio", "LFM2-Audio", (8,), special=frozenset((2048,)), end="special"),
        Layout("voxtream2", "VoXtream2", (16,), delays=(0, 1), special=frozenset((2048, 2049))),
        Layout("dia2", "Dia2", tuple(range(1, 33)), delays=None, special=frozenset((-2, 2048, 2049))),
    )
}

# words in the name or description of a file -> whose codec it is
_OTHER_CODECS = {
    "miocodec": "MioCodec",
    "mio codec": "MioCodec",
    "miotts": "MioCodec",
    "qwen3 tts": "Qwen3's speech tokenizer",
    "qwen 12hz": "Qwen3's speech tokenizer",
    "hibiki": "Hibiki's Mimi, another checkpoint than the Mimi of Miso and CSM",
    "mimi dbaa9758": "Hibiki's Mimi, another checkpoint than the Mimi of Miso and CSM",
    "snac": "SNAC (Orpheus)",
    "dac": "DAC (Dia 1, Parler)",
    "encodec": "EnCodec (Bark, MusicGen)",
    "xcodec2": "X-codec 2 (Llasa)",
    "bicodec": "BiCodec (Spark-TTS)",
    "neucodec": "NeuCodec (NeuTTS)",
    "s3 tokenizer": "the S3 tokenizer (CosyVoice)",
}


def refuse_other_codec(words: Iterable[str]) -> None:
    """Raise MisoError if one of ``words``, names of a file or of what is in it, names a codec that isn't
    Mimi."""
    for word in words:
        plain = f" {re.sub('[^a-z0-9]+', ' ', word.lower()).strip()} "
        for name, codec in _OTHER_CODECS.items():
            if f" {name} " in plain:
                raise MisoError(
                    f"Only codes of Mimi can be imported: '{word}' names {codec}, whose codes mean other "
                    "sounds.",
                    "Decode them with their own codec, and put the sound through Encode Audio. If they are "
                    "Mimi's after all, rename the file.",
                    input="file",
                )
