"""Makes miso/weights_nano/examples: codes with few codebooks, as another model would write them.

In the test environment: ``python tests/make_examples.py``. nano says a line, of which three codebooks are
kept.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from miso import Miso, Sampling, Segment  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402

LINE, CODEBOOKS = "A few codes carry the words, and many more carry the sound.", 3
FILE = BUNDLED / "examples" / "three_codebooks.npy"

if __name__ == "__main__":
    miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
    loop = miso.sample([Segment(LINE)], seeds=[1], max_seconds=8, sampling=Sampling(0.25), path="plain")
    for _ in loop:
        pass
    FILE.parent.mkdir(exist_ok=True)
    np.save(FILE, loop.codes.tensor[0, :CODEBOOKS].numpy().astype(np.int16))
    print(f"{FILE.relative_to(ROOT)}: {loop.codes.seconds[0]:.1f} s")
