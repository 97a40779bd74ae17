"""Training a mel coder: spectral distance, commitment, and words to be read off codebook 0."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bottleneck import Bottleneck, draw_kept, effective_rank, perplexity
from .content import LETTERS, PHONES, ContentHead
from .crops import Crops, Sentences, Words, samples_of
from .data import Speech
from .melcoder import MelCoder
from .presets import CoderSettings
from .run import Run, adamw, pack_state, set_rate, unpack_state, warm_cosine

_MEASURED = 128  # clips that the bands' mean and deviation are taken from


def train_coder(speech: Speech, run: Run, settings: CoderSettings, device: torch.device) -> Path:
    """Train, or go on training, until the run's budget is used; returns the coder's file, which is there from the first save on."""
    trainer = CoderTrainer(speech, settings, device, run.seed)
    run.record["data"] = {**speech.record, "clips": len(trainer.clips), "phonemes": trainer.words.phonemes}
    run.record["parameters"] = sum(p.numel() for p in trainer.coder.parameters())
    path = run.folder / "coder.safetensors"
    run.train(trainer, lambda: trainer.coder.save(path), settings.log_every, settings.save_every)
    return path


class CoderTrainer:
    """The coder, its quantizer's tables and one step of both."""

    def __init__(self, speech: Speech, settings: CoderSettings, device: torch.device, seed: int = 0):
        c = self.settings = settings
        self.device = device
        samples = samples_of(speech, device)
        self.sentences = Sentences(samples, speech.taught(), c.sizes.frame_size)
        self.clips = self.sentences.clips
        torch.manual_seed(seed)
        self.coder = MelCoder(c.sizes, c.width, c.codec)
        for part in (self.coder.quantizer.semantic, self.coder.quantizer.acoustic):
            nn.init.normal_(part.tables)
        self.words = Words(self.clips, device)
        head = ContentHead(c.sizes.dim, len(PHONES if self.words.phonemes else LETTERS), c.reader)
        self.made_by = nn.ModuleDict({"coder": self.coder.train(), "head": head}).to(device)
        self.bottleneck = Bottleneck(self.coder.quantizer, c.ema, c.dead)
        self.optimizer = adamw(self.made_by.parameters(), c.rate, c.betas, 0.01)
        self.validation = Crops(samples, speech.held_out(), 32 * c.sizes.frame_size)
        self.coder.measure(
            self.sentences.wave(
                torch.randint(0, len(self.clips), (min(_MEASURED, len(self.clips)),), device=device)
            )
        )

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step; returns losses, still on the device."""
        c, coder = self.settings, self.coder
        set_rate(self.optimizer, c.rate * warm_cosine(step, progress, c.warm_up))
        clip = self.sentences.draw(c.seconds)
        features = coder.features(self.sentences.wave(clip))
        latent = coder.encoder(features).transpose(1, 2)
        losses = {}
        if step < c.plain:
            bottled, content, commitment = self.bottleneck.around(latent)
        else:
            kept, bypassed = draw_kept(len(clip), c.sizes.codebooks, c.dropped, c.bypassed, self.device)
            bottled, content, codes, commitment = self.bottleneck(latent, kept, bypassed)
            losses |= {"commitment": commitment, "used": perplexity(codes, c.sizes.codebook_size).mean()}
        losses["mel"] = F.l1_loss(coder.synthesise(bottled), features)
        whole = torch.ones_like(clip, dtype=torch.bool)
        losses["content"] = self.made_by["head"].loss(
            content, self.words.targets[clip], self.words.lengths[clip], whole
        )
        self.optimizer.zero_grad(set_to_none=True)
        (losses["mel"] + c.commitment * commitment + c.content * losses["content"]).backward()
        torch.nn.utils.clip_grad_norm_(self.made_by.parameters(), c.clip)
        self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Distance of held-out pieces with all codebooks, with half and without quantizing; how many entries are in use; and the effective
        rank of the acoustic latents: where it is low, little passes, however well it is quantized."""
        c, coder = self.settings, self.coder
        wave = self.validation.middles()
        features, latent = coder.features(wave), coder.analyse(wave)

        def distance(latent: Tensor) -> float:
            return float(F.l1_loss(coder.synthesise(latent), features))

        quantized = coder.quantizer(latent, c.sizes.codebooks)
        used = perplexity(quantized.codes, c.sizes.codebook_size)
        half = coder.quantizer(latent, max(1, c.sizes.codebooks // 2))
        return {
            "held_out_mel": distance(quantized.latent),
            "held_out_mel_half": distance(half.latent),
            "held_out_mel_plain": distance(self.bottleneck.around(latent)[0]),
            "held_out_used_0": float(used[0]),
            "held_out_used": float(used.mean()),
            "held_out_rank": float(effective_rank(coder.quantizer.acoustic.input_proj(latent))),
        }

    def pack(self) -> dict[str, Tensor]:
        return {
            **pack_state("coder", self.made_by, self.optimizer),
            **pack_state("bottleneck", self.bottleneck),
        }

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "coder", self.made_by, self.optimizer)
        unpack_state(state, "bottleneck", self.bottleneck)
