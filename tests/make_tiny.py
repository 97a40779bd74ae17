"""Makes a tiny model and codec from a fixed seed, in our own layouts: ``python tests/make_tiny.py DIR``.

The whole chain runs on them in seconds. What comes out is noise: nothing was trained.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the script runs from a clone that isn't installed

from miso.checkpoint import save_checkpoint  # noqa: E402
from miso.config import ModelConfig, StackConfig  # noqa: E402
from miso.mimi import MimiConfig, random_mimi, save_mimi  # noqa: E402
from miso.weights import canonical_shapes, random_tensors  # noqa: E402

MODEL = ModelConfig(StackConfig(2, 4, 2, 64, 160), StackConfig(2, 4, 2, 48, 96), text_vocab=258, audio_vocab=67, codebooks=8,
                    codebook_size=64, codec="tiny", family="nano")
CODEC = MimiConfig(filters=8, dim=64, heads=2, encoder_layers=1, decoder_layers=1, ff=128, codebooks=8, codebook_size=64, codebook_dim=16)


def make_tiny(folder: Path) -> None:
    tensor = random_tensors(MODEL, seed=1)
    save_checkpoint(folder / "tiny.safetensors", MODEL, {name: tensor(name) for name in canonical_shapes(MODEL)})
    save_mimi(folder / "tiny-codec.safetensors", random_mimi(CODEC, seed=1, codec=MODEL.codec))


if __name__ == "__main__":
    make_tiny(Path(sys.argv[1]))
