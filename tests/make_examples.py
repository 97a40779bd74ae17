"""Makes miso/weights_nano/examples and miso/weights_nano/voices, and the recorded codes of the tests.

In the test environment: ``python tests/make_examples.py``, after nano was trained anew. What it makes is said
by nano: codes with few codebooks, as another model would write them, a sentence of each voice prompt, and
what ``weights_nano/test_nano.py`` compares with.
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from miso import Miso, Segment  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.codes.codes import Codes  # noqa: E402
from miso.text.voice import Voice  # noqa: E402

LINE, CODEBOOKS = "A few codes carry the words, and many more carry the sound.", 3
FILE = BUNDLED / "examples" / "three_codebooks.npy"
VOICES = {
    "heart": "The north wind and the sun could not agree which of them was the stronger.",
    "michael": "A traveller came along the road, wrapped up against the cold in a warm cloak.",
}
SEED, RECORDED = 7, "Every word you hear was first a handful of codes."
RECORD = Path(__file__).with_name("weights_nano") / "seed_7.json"


def say(miso: Miso, text: str, speaker: int, seed: int) -> Codes:
    loop = miso.sample([Segment(text, speaker)], seeds=[seed], max_seconds=8)
    list(loop)
    return loop.codes


if __name__ == "__main__":
    miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
    np.save(FILE, say(miso, LINE, 0, 1).tensor[0, :CODEBOOKS].numpy().astype(np.int16))
    for name, text in VOICES.items():
        codes = say(miso, text, miso.checkpoint.config.speaker(name), 1)
        Voice.of(name, codes).save(BUNDLED / "voices" / f"{name}.safetensors")
    RECORD.write_text(json.dumps(say(miso, RECORDED, 0, SEED).tensor[0].tolist()), encoding="utf-8")
