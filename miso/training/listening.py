"""Training a listener: phonemes, or letters, to be read off speech by CTC, through noise and with parts of the spectrum missing."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .content import LETTERS, PHONES, ctc
from .crops import Sentences, Words, samples_of
from .data import Speech
from .listener import FRAME, Listener
from .presets import ListenerSettings
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine

_MASKS, _WIDE, _LONG = (
    2,
    16,
    20,
)  # of each kind a spectrum; bands, frames (SpecAugment: Park et al. 2019, arXiv 1904.08779)


def train_listener(speech: Speech, run: Run, settings: ListenerSettings, device: torch.device) -> Path:
    """Train, or go on training, until the run's budget is used; returns the listener's file, which is there from the first save on."""
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
    """The listener and one step of it."""

    def __init__(self, speech: Speech, settings: ListenerSettings, device: torch.device, seed: int = 0):
        c = self.settings = settings
        self.device = device
        torch.manual_seed(seed)
        samples = samples_of(speech, device)
        self.sentences, self.held_out = (
            Sentences(samples, clips, FRAME) for clips in (speech.taught(), speech.held_out())
        )
        self.words, self.held_out_words = (
            Words(self.sentences.clips, device),
            Words(self.held_out.clips, device),
        )
        self.net = (
            Listener(len(PHONES if self.words.phonemes else LETTERS), c.width, c.blocks).to(device).train()
        )
        self.optimizer = adamw(self.net.parameters(), c.rate, c.betas, 0.02)

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step; returns losses, still on the device."""
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
        """CTC loss a symbol of held-out clips."""
        clip = torch.arange(
            0, len(self.held_out.clips), max(1, len(self.held_out.clips) // 64), device=self.device
        )
        words = self.held_out_words
        return {
            "held_out_ctc": float(
                ctc(self.net(self.held_out.wave(clip)), words.targets[clip], words.lengths[clip]).mean()
            )
        }

    def pack(self) -> dict[str, Tensor]:
        return pack_state("listener", self.net, self.optimizer)

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "listener", self.net, self.optimizer)


def _noisy(wave: Tensor) -> Tensor:
    """Samples [B, 1, N] at another level, half of them in white noise, 5 to 45 dB below."""

    def drawn() -> Tensor:
        return torch.rand(len(wave), 1, 1, device=wave.device)

    wave = wave * 10 ** (0.8 * drawn() - 0.5)
    level = wave.square().mean(2, keepdim=True).sqrt() * 10 ** (-2 * drawn() - 0.25)
    return wave + torch.randn_like(wave) * level * (drawn() < 0.5)


def _masked(spectrum: Tensor) -> Tensor:
    """Spectra [B, bands, frames], some bands and frames of each left out."""
    for _ in range(_MASKS):
        for dim, most in ((1, _WIDE), (2, _LONG)):
            at = torch.arange(spectrum.shape[dim], device=spectrum.device)[None]
            first = torch.rand(len(spectrum), 1, device=spectrum.device) * spectrum.shape[dim]
            gone = (at >= first) & (at < first + torch.rand_like(first) * most)
            spectrum = spectrum * ~(gone[:, :, None] if dim == 1 else gone[:, None])
    return spectrum
