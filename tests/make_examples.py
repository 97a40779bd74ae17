"""Makes miso/weights_nano/examples and miso/weights_nano/voices, and the recorded codes of the tests.

In the test environment: ``python tests/make_examples.py``, after nano was trained anew. What it makes is said
by nano: codes with few codebooks, as another model would write them, a sentence of each voice prompt, and
what ``weights_nano/test_nano.py`` compares with.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from miso import Miso, Segment, load_vocoder  # noqa: E402
from miso.audio.resampling import resample  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.codes.codes import Codes  # noqa: E402
from miso.codes.ranking import rank  # noqa: E402
from miso.generation.choosing import word_error  # noqa: E402
from miso.text.voice import Voice  # noqa: E402
from miso.training.judges import RATE, Whisper  # noqa: E402
from miso.vocoders.vocoder import Vocoder  # noqa: E402

LINE, CODEBOOKS = "A few codes carry the words, and many more carry the sound.", 3
FILE = BUNDLED / "examples" / "three_codebooks.npy"
PROMPTS = (  # of a voice, by its number
    "The north wind and the sun could not agree which of them was the stronger.",
    "A traveller came along the road, wrapped up against the cold in a warm cloak.",
)
SEED, RECORDED = 7, "Every word you hear was first a handful of codes."
RECORD = Path(__file__).with_name("weights_nano") / "seed_7.json"


def say(miso: Miso, text: str, speaker: int, seeds: Sequence[int]) -> Codes:
    loop = miso.sample([Segment(text, speaker)], seeds=seeds, max_seconds=8)
    list(loop)
    return loop.codes


def best(codes: Codes, vocoder: Vocoder, whisper: Whisper) -> Codes:
    """The take that a recogniser understands best."""
    waves = (vocoder.decode(codes.take(i).tensor)[0, 0] for i in range(codes.batch))
    heard = [whisper(resample(wave, vocoder.sample_rate, RATE).numpy()) for wave in waves]
    errors = [word_error(take.text, said) for take, said in zip(codes.takes, heard)]
    return codes.take(rank(codes, errors)[0].take)


if __name__ == "__main__":
    miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
    vocoder, whisper = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors"), Whisper()
    np.save(FILE, say(miso, LINE, 0, [1]).tensor[0, :CODEBOOKS].numpy().astype(np.int16))
    for number, voice in enumerate(miso.checkpoint.config.voices):
        name = voice.partition("_")[2]
        codes = say(miso, PROMPTS[number % 2], number, range(1, 5))
        Voice.of(name, best(codes, vocoder, whisper)).save(BUNDLED / "voices" / f"{name}.safetensors")
    RECORD.write_text(json.dumps(say(miso, RECORDED, 0, [SEED]).tensor[0].tolist()), encoding="utf-8")
