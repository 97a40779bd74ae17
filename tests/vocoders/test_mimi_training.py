"""Training the codec: gradients reach every weight through the quantizer."""

from dataclasses import replace

import torch

from miso.vocoders.mimi import Mimi, MimiConfig, load_mimi, save_mimi
from miso.vocoders.mimi.quantizer import ResidualQuantizer


def copy_of(mimi):
    other = Mimi(mimi.config)
    other.load_state_dict(mimi.state_dict())
    return other


def test_gradients_reach_every_weight(small):
    mimi = copy_of(small)
    wave = 0.1 * torch.randn(2, 1, 6 * 1920, generator=torch.Generator().manual_seed(1))
    out, quantized = mimi(wave)
    assert out.shape == wave.shape
    ((out - wave).square().mean() + quantized.commitment + quantized.codebook).backward()
    without = [name for name, p in mimi.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without
    assert quantized.codes.shape == (2, 8, 6) and torch.allclose(quantized.commitment, quantized.codebook)


def test_reconstruction_alone_leaves_the_codebooks(small):
    mimi = copy_of(small)
    out, _ = mimi(0.1 * torch.randn(1, 1, 4 * 1920, generator=torch.Generator().manual_seed(1)))
    out.square().mean().backward()
    assert mimi.encoder.model[0].conv.weight.grad.abs().sum() > 0  # straight through the quantizer
    assert mimi.quantizer.acoustic.tables.grad is None


def test_training_gives_what_encoding_and_decoding_give(small):
    wave = 0.1 * torch.randn(1, 1, 30 * 1920, generator=torch.Generator().manual_seed(1))
    for codebooks in (8, 3, 1):
        with torch.no_grad():
            out, quantized = small(wave, codebooks)
        codes = small.encode(wave, codebooks)
        assert torch.equal(quantized.codes, codes)
        assert (small.decode(codes) - out).abs().max() < 1e-4


def test_a_few_steps_lower_the_loss(small):
    mimi = copy_of(small)
    optimizer = torch.optim.Adam(mimi.parameters(), 1e-3)
    wave = 0.1 * torch.sin(torch.arange(4 * 1920) * 0.05).view(1, 1, -1)
    losses = []
    for _ in range(8):
        out, quantized = mimi(wave)
        loss = (out - wave).square().mean() + 0.01 * (quantized.commitment + quantized.codebook)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_search_along_all_paths_finds_the_nearest_codes():
    torch.manual_seed(0)
    part = ResidualQuantizer(MimiConfig(dim=16, codebook_dim=4, codebook_size=10), 2, True)
    part.requires_grad_(False)
    torch.nn.init.normal_(part.tables)
    latent = torch.randn(2, 16, 20)
    x = part.input_proj(latent).transpose(1, 2)  # [B, T, C]
    sums = (part.tables[0][:, None] + part.tables[1]).flatten(0, 1)
    best = torch.cdist(x, sums).argmin(2)
    found = part.encode(latent, 2, paths=10)
    assert torch.equal(found, torch.stack((best // 10, best % 10), 1))
    assert torch.equal(part.encode(latent, 1, paths=10), found[:, :1])

    def error(codes):
        return (x - part.tables[0][codes[:, 0]] - part.tables[1][codes[:, 1]]).square().mean()

    assert error(found) < error(part.encode(latent, 2, paths=2)) < error(part.encode(latent, 2))


def test_a_codec_that_searches_has_the_same_sizes(small, tmp_path):
    searching = Mimi(replace(small.config, paths=8))
    searching.load_state_dict(small.state_dict())
    save_mimi(tmp_path / "codec.safetensors", searching, "small")
    loaded = load_mimi(tmp_path / "codec.safetensors")
    wave = 0.1 * torch.randn(1, 1, 30 * 1920, generator=torch.Generator().manual_seed(2))
    ours, theirs = loaded.encode(wave), small.encode(wave)
    assert loaded.config == small.config and loaded.config.paths == 8  # its codes are codes of the same codec
    assert torch.equal(ours[:, 0], theirs[:, 0]) and not torch.equal(ours, theirs)
    assert torch.equal(loaded.decode(theirs), small.decode(theirs))
