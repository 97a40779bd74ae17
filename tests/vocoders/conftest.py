"""Codecs with random weights: a small one for most tests, and one of the published size."""

import pytest

torch = pytest.importorskip("torch")

from miso.vocoders.mimi import MimiConfig, random_mimi, save_mimi  # noqa: E402

SMALL = MimiConfig(
    filters=8,
    dim=64,
    heads=2,
    encoder_layers=2,
    decoder_layers=2,
    ff=96,
    window=20,
    codebooks=8,
    codebook_size=64,
    codebook_dim=16,
)


@pytest.fixture(scope="session")
def small():
    return random_mimi(SMALL, seed=1, codec="mimi-small")


@pytest.fixture(scope="session")
def small_file(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("codec") / "small.safetensors"
    save_mimi(path, small)
    return path


@pytest.fixture(scope="session")
def full():
    """The published size: 96 M numbers."""
    return random_mimi(seed=0)


@pytest.fixture(scope="session")
def full_file(full, tmp_path_factory):
    """A file like Kyutai's: published layout and name, without our metadata."""
    from safetensors.torch import save_file

    from miso.vocoders.mimi.weights import published_tensors

    path = tmp_path_factory.mktemp("codec") / "tokenizer-e351c8d8-checkpoint125.safetensors"
    save_file(published_tensors(full), path)
    return path


@pytest.fixture
def draw():
    """``draw(mimi, frames)``: random codes [1, K, T], the same in every run."""
    generator = torch.Generator().manual_seed(7)

    def codes(mimi, frames, batch=1):
        c = mimi.config
        return torch.randint(0, c.codebook_size, (batch, c.codebooks, frames), generator=generator)

    return codes
