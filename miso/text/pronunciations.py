"""How a user wants words to be said: lines ``word = respelling`` or ``word = /phonemes/``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MisoError
from ..files import read_text
from .phonemes import MARKUP, SYMBOLS

FILE = "pronunciations.txt"
_MOST = 10_000  # lines


@dataclass(frozen=True)
class Pronunciations:
    """Words and how they are said. A word in lower case also stands for the word with capitals."""

    words: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def parse(text: str, source: str = "pronunciations") -> Pronunciations:
        """Reads lines ``word = respelling`` and ``word = /phonemes/``; empty lines and ``#`` are skipped.

        Raises MisoError with the line that can't be read; ``source`` names the text.
        """
        words: dict[str, str] = {}
        lines = text.splitlines()
        if len(lines) > _MOST:
            raise MisoError(f"{source} has {len(lines):,} lines, and {_MOST:,} are read.", "Shorten it.")
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            word, equals, said = (part.strip() for part in line.partition("="))
            if not (equals and word and said):
                raise MisoError(
                    f"{source}, line {number}: '{line.strip()[:60]}' is not 'word = how it is said'.",
                    "For example: Siobhan = shivawn. Phonemes stand between slashes: Siobhan = /ʃɪvˈɔn/.",
                )
            words[word] = _said(word, said, f"{source}, line {number}")
        return Pronunciations(words)

    @staticmethod
    def read(path: str | Path) -> Pronunciations:
        """Reads a file. Raises MisoError if that can't be done."""
        return Pronunciations.parse(read_text(path), Path(path).name)

    def apply(self, text: str) -> str:
        """``text`` with whole words replaced. What already has phonemes stays."""
        if not self.words:
            return text
        parts = MARKUP.split(text)
        parts[::3] = [self._pattern.sub(self._replacement, part) for part in parts[::3]]
        marked = [f"[{word}](/{sounds}/)" for word, sounds in zip(parts[1::3], parts[2::3])]
        return "".join(part for pair in zip(parts[::3], [*marked, ""]) for part in pair)

    @property
    def _pattern(self) -> re.Pattern[str]:
        words = "|".join(re.escape(word) for word in sorted(self.words, key=len, reverse=True))
        return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)

    def _replacement(self, match: re.Match[str]) -> str:
        word = match.group()
        said = self.words.get(word) or self.words.get(word.lower())
        return said or word


def _said(word: str, said: str, where: str) -> str:
    """The replacement of a word: the respelling, or the word marked with its phonemes."""
    if not (len(said) > 2 and said[0] == said[-1] == "/"):
        return said
    sounds = said[1:-1].strip()
    if unknown := [c for c in sounds if c not in SYMBOLS]:
        raise MisoError(
            f"{where}: '{unknown[0]}' is no phoneme.",
            f"Use these: {SYMBOLS.replace(' ', '')}. Or write the word as it sounds, without slashes.",
        )
    marked = f"[{word}](/{sounds}/)"
    if not MARKUP.fullmatch(marked):
        raise MisoError(f"{where}: too long, or with brackets.", "Use at most 100 letters and 200 phonemes.")
    return marked


def without_phonemes(text: str) -> str:
    """``text`` for a model that reads letters: marked words without their phonemes."""
    return MARKUP.sub(lambda m: m[1], text)
