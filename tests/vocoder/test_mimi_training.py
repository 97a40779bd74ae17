"""The codec as something to train: gradients reach every weight through the bottleneck."""

import torch

from miso.mimi import Mimi


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


def test_training_sees_what_encoding_and_decoding_give(small):
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
