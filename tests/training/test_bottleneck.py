"""The quantizer in training, compared with the quantizer of inference."""

import pytest
import torch
from training.helpers import CPU

from miso.training.bottleneck import Bottleneck, draw_kept, perplexity
from miso.training.presets import TINY_CODEC
from miso.vocoders.mimi import Mimi


@pytest.fixture
def quantizer():
    torch.manual_seed(0)
    q = Mimi(TINY_CODEC).quantizer
    torch.nn.init.normal_(q.semantic.tables)
    torch.nn.init.normal_(q.acoustic.tables)
    return q


def test_bottleneck_gives_what_inference_gives(quantizer):
    bottleneck, latent = Bottleneck(quantizer, 0.9, 0.0), torch.randn(3, 32, 10)
    kept, bypassed = torch.tensor([4, 2, 1]), torch.tensor([False, False, False])
    out = bottleneck(latent, kept, bypassed, learn=False)
    assert torch.equal(out.codes, quantizer.encode(latent, 4))
    for b, n in enumerate(kept):
        assert torch.allclose(out.latent[b : b + 1], quantizer.decode(out.codes[b : b + 1, :n]), atol=1e-5)
    assert torch.allclose(out.content, quantizer.decode(out.codes[:, :1]), atol=1e-5)
    through = bottleneck(latent, kept, torch.tensor([True] * 3), learn=False)
    around, content, _ = bottleneck.bypass(latent)
    assert torch.allclose(through.latent, around, atol=1e-5)
    assert torch.equal(through.codes, out.codes)
    assert torch.equal(through.content, out.content)
    assert torch.allclose(content, quantizer.semantic.output_proj(quantizer.semantic.input_proj(latent)))
    # a louder latent in louder tables is as far off as before
    quantizer.semantic.tables.mul_(3), quantizer.acoustic.tables.mul_(3)
    assert bottleneck(3 * latent, kept, bypassed, learn=False).commitment.item() == pytest.approx(
        out.commitment.item(), rel=1e-4
    )


def test_gradients_pass_straight_and_commit(quantizer):
    bottleneck, latent = Bottleneck(quantizer, 0.9, 0.0), torch.randn(2, 32, 10, requires_grad=True)
    out = bottleneck(latent, torch.tensor([4, 2]), torch.tensor([False, False]), learn=False)
    (g,) = torch.autograd.grad(out.latent.sum(), latent, retain_graph=True)
    (want,) = torch.autograd.grad(
        sum(p.output_proj(p.input_proj(latent)) for p in (quantizer.semantic, quantizer.acoustic)).sum(),
        latent,
    )
    assert torch.allclose(g, want, atol=1e-6)  # as if nothing had been quantized
    assert torch.autograd.grad(out.commitment, latent)[0].abs().sum() > 0
    assert not quantizer.acoustic.tables.requires_grad


def test_tables_move_to_their_vectors_and_dead_entries_restart(quantizer):
    bottleneck, centres = Bottleneck(quantizer, 0.5, 0.05), 5 * torch.randn(6, 32)
    latent = centres[torch.randint(0, 6, (8 * 50,))].view(8, 50, 32).transpose(1, 2) + 0.01 * torch.randn(
        8, 32, 50
    )
    keep = draw_kept(8, 4, 0.0, 0.0, CPU)
    first = bottleneck(latent, *keep)
    for _ in range(30):
        out = bottleneck(latent, *keep)
    x = quantizer.semantic.input_proj(latent).transpose(1, 2)
    error = (x - torch.nn.functional.embedding(out.codes[:, 0], quantizer.semantic.tables[0])).square().mean()
    assert error < 1e-3 * x.var() and out.commitment <= first.commitment
    lost = quantizer.semantic.tables[0, 7].clone().fill_(1e3)
    quantizer.semantic.tables[0, 7], bottleneck.sums[0][0, 7], bottleneck.counts[0][0, 7] = (
        lost,
        lost * 1e-4,
        1e-4,
    )
    bottleneck(latent, *keep)
    assert (quantizer.semantic.tables[0, 7] - x.flatten(0, 1)).norm(
        dim=1
    ).min() < 1e-4  # one of the batch's own vectors


def test_tables_follow_what_shifts_together(quantizer):
    bottleneck, latent = Bottleneck(quantizer, 0.99, 0.05), torch.randn(4, 32, 60)
    keep = draw_kept(4, 4, 0.0, 0.0, CPU)
    for _ in range(100):
        settled = bottleneck(latent, *keep)
    ahead = torch.randn(32, 1)
    for step in range(1, 60):
        # each step is larger than the distances between the latents
        moved = bottleneck(latent + step * ahead, *keep)

    def distance(bottled, x):
        return (bottled.latent - bottleneck.bypass(x)[0]).square().mean()

    assert (
        distance(moved, latent + 59 * ahead)
        < 3 * distance(settled, latent) + 0.5 * bottleneck.bypass(latent)[0].var()
    )


def test_dropout_of_codebooks_and_use():
    kept, bypassed = draw_kept(4000, 8, 0.25, 0.15, CPU)
    assert set(kept.tolist()) == set(range(1, 9)) and 0.75 < (kept == 8).float().mean() < 0.82
    assert 0.12 < bypassed.float().mean() < 0.18 and (kept[bypassed] == 8).all()
    assert perplexity(torch.tensor([[[0, 1, 2, 3], [5, 5, 5, 5]]]), 8).tolist() == pytest.approx([4, 1])
