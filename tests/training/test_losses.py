"""Crops of speech, the spectral distance and the content loss."""

import pytest
import torch
from training.helpers import CPU

from miso.training.content import LETTERS, PHONES, ContentHead, spell
from miso.training.crops import Crops, Words, samples_of
from miso.training.spectral import MelLoss, mel_bands


def test_crops_are_pieces_of_their_clips(speech):
    clips = speech.split("train")
    samples = samples_of(speech, CPU)
    crops = Crops(samples, clips, 9600)
    crop = crops.draw(64)
    for piece, i, whole in zip(crop.wave[:, 0], crop.clip, crop.whole):
        wave = torch.from_numpy(speech.wave(clips[i]))
        assert whole == (len(wave) <= 9600)
        if not whole:
            assert any(torch.equal(piece, w) for w in wave.unfold(0, 9600, 1))
    short = Crops(samples, clips, 48_000).cut(torch.tensor([0, 0]), torch.tensor([0.0, 0.999999]))
    n = clips[0].samples
    wave = torch.from_numpy(speech.wave(clips[0]))
    assert torch.equal(short.wave[0, 0, :n], wave)
    assert torch.equal(short.wave[1, 0, -n:], wave)
    assert not short.wave[0, 0, n:].any()


def test_mel_bands_and_distance():
    for window, bands in ((32, 5), (512, 80), (2048, 320)):
        m = mel_bands(24_000, window, bands)
        assert m.shape == (bands, window // 2 + 1)
        assert torch.allclose(m.sum(1), torch.ones(bands))
        assert (m >= 0).all()
    loss, wave = MelLoss(24_000), 0.1 * torch.randn(2, 1, 9600, generator=torch.Generator().manual_seed(0))
    assert loss(wave, wave) == 0
    assert loss(wave, 10 * wave) == pytest.approx(1, abs=0.03)  # in log10
    sine = torch.sin(torch.arange(24_000) * 0.3)[None, None]
    # a full-scale sine fills about one band
    assert 10 ** loss._log_mel(sine, 2048).max() == pytest.approx(1, abs=0.4)
    silent = torch.zeros(1, 1, 9600, requires_grad=True)
    loss(silent, wave[:1]).backward()
    assert silent.grad.isfinite().all()


def test_symbols(speech):
    assert "".join(LETTERS[i - 1] for i in spell("Don't stop, Anna!")) == "don't stop anna"
    assert "".join(PHONES[i - 1] for i in spell("My brother, is.", "mˌI bɹˈʌðəɹ, ˈIz.")) == "mI bɹʌðəɹ Iz"
    words = Words(speech.clips[:2], CPU)
    assert words.targets[0, : words.lengths[0]].tolist() == spell(speech.clips[0].text) and not words.phonemes


def test_content_head_learns_to_read():
    torch.manual_seed(0)
    head, latent = ContentHead(16, 3, 32), torch.randn(2, 16, 6)
    targets, lengths = torch.tensor([[1, 2, 2, 3], [3, 1, 0, 0]]), torch.tensor([4, 2])
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = head.loss(latent, targets, lengths, torch.tensor([True, True]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert head.loss(latent, targets, lengths, torch.tensor([False, False])) == 0
