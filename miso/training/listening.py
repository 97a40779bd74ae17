"""Training of a listener: phonemes or letters by CTC, with added noise and masked spectra."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .content import LETTERS, PHONES, ctc
from .crops import Sentences, Words, samples_of
from .data import Speech
from .listener import FRAME, Listener
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine
from .settings import ListenerSettings

# SpecAugment (Park et al. 2019, arXiv 1904.08779): masks of each kind per spectrum, and their maximum sizes
_MASKS, _MASK_BANDS, _MASK_FRAMES = 2, 16, 20


def train_listener(speech: Speech, run: Run, settings: ListenerSettings, device: torch.device) -> Path:
    """Train, or resume training, until the run's budget is used; returns the path of the listener's file."""
    trainer = ListenerTrainer(speech, settings, device, run.seed)
    run.record["data"] = {
        **speech.record,
        "clips": len(trainer.sentences.clips),
        "phonemes": trainer.words.phonemes,
    }
    run.record["parameters"] = sum(p.numel() for p in trainer.net.parameters())
    path = run.folder / "listener.safetensors"
    run.train(trainer, lambda: trainer.net.save(path), settings.log_every, settings.save_every)
    return path


class ListenerTrainer:
    """The listener and its training step."""

    def __init__(self, speech: Speech, settings: ListenerSettings, device: torch.device, seed: int = 0):
        c = self.settings = settings
        self.device = device
        torch.manual_seed(seed)
        samples = samples_of(speech, device)
        self.sentences, self.held_out = (
            Sentences(samples, clips, FRAME) for clips in (speech.training_clips(), speech.validation_clips())
        )
        self.words = Words(self.sentences.clips, device)
        self.held_out_words = Words(self.held_out.clips, device)
        symbols = PHONES if self.words.phonemes else LETTERS
        self.net = Listener(len(symbols), c.width, c.blocks).to(device).train()
        self.optimizer = adamw(self.net.parameters(), c.rate, c.betas, 0.02)

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step; returns losses on the device."""
        c, net = self.settings, self.net
        set_rate(self.optimizer, c.rate * warm_cosine(step, progress, c.warm_up))
        clip = self.sentences.draw(c.seconds)
        spectrum = _masked(net.spectrum(_noisy(self.sentences.wave(clip))))
        with autocast(self.device):
            log_probs = net.read(net.features(spectrum)[-1])
        loss = ctc(log_probs, self.words.targets[clip], self.words.lengths[clip]).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), c.clip)
        self.optimizer.step()
        return {"ctc": loss.detach()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """CTC loss per symbol of held-out clips."""
        count = len(self.held_out.clips)
        clip = torch.arange(0, count, max(1, count // 64), device=self.device)
        words, log_probs = self.held_out_words, self.net(self.held_out.wave(clip))
        return {"held_out_ctc": float(ctc(log_probs, words.targets[clip], words.lengths[clip]).mean())}

    def pack(self) -> dict[str, Tensor]:
        return pack_state("listener", self.net, self.optimizer)

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "listener", self.net, self.optimizer)


def _noisy(wave: Tensor) -> Tensor:
    """Samples [B, 1, N] at random levels, half of them with white noise 5 to 45 dB below."""

    def uniform() -> Tensor:
        return torch.rand(len(wave), 1, 1, device=wave.device)

    wave = wave * 10 ** (0.8 * uniform() - 0.5)
    level = wave.square().mean(2, keepdim=True).sqrt() * 10 ** (-2 * uniform() - 0.25)
    return wave + torch.randn_like(wave) * level * (uniform() < 0.5)


def _masked(spectrum: Tensor) -> Tensor:
    """Spectra [B, bands, frames] with some bands and frames of each set to 0."""
    for _ in range(_MASKS):
        for dim, largest in ((1, _MASK_BANDS), (2, _MASK_FRAMES)):
            index = torch.arange(spectrum.shape[dim], device=spectrum.device)[None]
            first = torch.rand(len(spectrum), 1, device=spectrum.device) * spectrum.shape[dim]
            masked = (index >= first) & (index < first + torch.rand_like(first) * largest)
            spectrum = spectrum * ~(masked[:, :, None] if dim == 1 else masked[:, None])
    return spectrum
