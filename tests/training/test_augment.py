"""What the codec hears in training, and what it is to say."""

import torch

from miso.audio.pitch import pitch, window_size
from miso.training.augment import SPEEDS, Augment

RATE, SIZE = 24_000, 24_000


def tone(hertz: float, samples: int, batch: int) -> torch.Tensor:
    turns = torch.arange(samples) * hertz / RATE
    return 0.3 * torch.sin(2 * torch.pi * turns).expand(batch, 1, samples).clone()


def test_speeds_levels_and_noise_differ_but_not_the_clean_sounds_pitch():
    torch.manual_seed(0)
    augment = Augment(RATE, SIZE, torch.device("cpu"))
    heard, clean = augment(tone(200, augment.longer, 64))
    assert heard.shape == clean.shape == (64, 1, SIZE)
    assert heard.isfinite().all() and clean.abs().max() <= 1
    hertz = pitch(clean[:, 0], RATE, window_size(RATE))[0].median(1).values
    same = (hertz - 200).abs() < 1
    assert 0.25 < same.float().mean() < 0.75  # the others are at other speeds, within the limits
    assert hertz.min() > 200 * SPEEDS[0] - 2 and hertz.max() < 200 * SPEEDS[1] + 2
    levels = clean.square().mean(2).sqrt()
    assert levels.max() > 3 * levels.min()
    changed = (heard != clean).flatten(1).any(1)
    assert 0.2 < changed.float().mean() < 0.7  # noise or echo
    error = (heard - clean).square().mean(2).sqrt() / levels
    assert error[changed].max() < 1.5


def test_unchanged_speech_is_read_exactly():
    augment = Augment(RATE, SIZE, torch.device("cpu"))
    wave = torch.randn(8, augment.longer)
    torch.manual_seed(1)
    read = augment._resampled(wave)
    exact = (read == wave[:, 1 : SIZE + 1]).all(1)
    assert 0 < exact.sum() < 8
