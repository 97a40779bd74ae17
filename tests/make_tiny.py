"""A tiny untrained model and codec from a fixed seed, for tests that need no real voice.

The whole chain runs on them in seconds; the output is noise.
"""

from pathlib import Path

from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import save_checkpoint
from miso.model.config import ModelConfig, StackConfig
from miso.tools.bootstrap.comfyui import make_base
from miso.vocoders.mimi import MimiConfig, random_mimi, save_mimi

MODEL = ModelConfig(
    StackConfig(2, 4, 2, 64, 160),
    StackConfig(2, 4, 2, 48, 96),
    text_vocab=258,
    audio_vocab=67,
    codebooks=8,
    codebook_size=64,
    codec="tiny",
    family="bytes",
)
CODEC = MimiConfig(
    filters=8,
    dim=64,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    ff=128,
    codebooks=8,
    codebook_size=64,
    codebook_dim=16,
)


def make_tiny(models: Path, vocoders: Path | None = None) -> None:
    """Write tiny.safetensors into ``models``, tiny-codec.safetensors into ``vocoders`` or ``models``."""
    read = random_tensors(MODEL, seed=1)
    tensors = {name: read(name) for name in canonical_shapes(MODEL)}
    save_checkpoint(models / "tiny.safetensors", MODEL, tensors)
    save_mimi((vocoders or models) / "tiny-codec.safetensors", random_mimi(CODEC, seed=1, codec=MODEL.codec))


def make_tiny_base(folder: Path) -> Path:
    """A base directory for ComfyUI in ``folder``, with the pack and these files where they belong."""
    base = make_base(folder)
    (models := base / "models" / "miso").mkdir()
    (vocoders := base / "models" / "miso_vocoders").mkdir()
    make_tiny(models, vocoders)
    return base
