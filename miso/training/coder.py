"""Training of a mel coder: spectral distance, commitment loss, and a content loss on codebook 0."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .bottleneck import Bottleneck, draw_kept, effective_rank, perplexity, project
from .content import LETTERS, PHONES, ContentHead
from .crops import Crops, Sentences, Words, samples_of
from .data import Speech
from .melcoder import MelCoder
from .run import Run, adamw, pack_state, set_rate, unpack_state, warm_cosine
from .settings import CoderSettings

_MEASURED = 128  # clips from which the mean and deviation of the mel bands are computed


def train_coder(speech: Speech, run: Run, settings: CoderSettings, device: torch.device) -> Path:
    """Train, or resume training, until the run's budget is used; returns the path of the coder's file."""
    trainer = CoderTrainer(speech, settings, device, run.seed)
    run.record["data"] = {**speech.record, "clips": len(trainer.clips), "phonemes": trainer.words.phonemes}
    run.record["parameters"] = sum(p.numel() for p in trainer.coder.parameters())
    path = run.folder / "coder.safetensors"
    run.train(trainer, lambda: trainer.coder.save(path), settings.log_every, settings.save_every)
    return path


class CoderTrainer:
    """The coder, its quantizer and the training step."""

    def __init__(self, speech: Speech, settings: CoderSettings, device: torch.device, seed: int = 0):
        c = self.settings = settings
        self.device = device
        samples = samples_of(speech, device)
        self.sentences = Sentences(samples, speech.training_clips(), c.sizes.frame_size)
        self.clips = self.sentences.clips
        torch.manual_seed(seed)
        self.coder = MelCoder(c.sizes, c.width, c.codec)
        for part in (self.coder.quantizer.semantic, self.coder.quantizer.acoustic):
            nn.init.normal_(part.tables)
        self.words = Words(self.clips, device)
        symbols = PHONES if self.words.phonemes else LETTERS
        self.head = ContentHead(c.sizes.dim, len(symbols), c.reader)
        self.networks = nn.ModuleDict({"coder": self.coder.train(), "head": self.head}).to(device)
        self.bottleneck = Bottleneck(self.coder.quantizer, c.ema, c.dead)
        self.optimizer = adamw(self.networks.parameters(), c.rate, c.betas, 0.01)
        self.validation = Crops(samples, speech.validation_clips(), 32 * c.sizes.frame_size)
        measured = min(_MEASURED, len(self.clips))
        self.coder.measure(self.sentences.wave(torch.randint(0, len(self.clips), (measured,), device=device)))

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step; returns losses on the device."""
        c, coder = self.settings, self.coder
        set_rate(self.optimizer, c.rate * warm_cosine(step, progress, c.warm_up))
        clip = self.sentences.draw(c.seconds)
        features = coder.features(self.sentences.wave(clip))
        latent = coder.encoder(features).transpose(1, 2)
        losses: dict[str, Tensor] = {}
        if step < c.plain:
            decoded, content, commitment = self.bottleneck.bypass(latent)
        else:
            kept, bypassed = draw_kept(len(clip), c.sizes.codebooks, c.dropped, c.bypassed, self.device)
            decoded, content, codes, commitment = self.bottleneck(latent, kept, bypassed)
            losses |= {"commitment": commitment, "used": perplexity(codes, c.sizes.codebook_size).mean()}
        losses["mel"] = F.l1_loss(coder.synthesise(decoded), features)
        whole = torch.ones_like(clip, dtype=torch.bool)
        losses["content"] = self.head.loss(content, self.words.targets[clip], self.words.lengths[clip], whole)
        self.optimizer.zero_grad(set_to_none=True)
        (losses["mel"] + c.commitment * commitment + c.content * losses["content"]).backward()
        torch.nn.utils.clip_grad_norm_(self.networks.parameters(), c.clip)
        self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mel distance of held-out crops with all codebooks, with half and without quantizing; codebook use.

        ``held_out_rank`` is the effective rank of the acoustic latents: if it is low, they carry little.
        """
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
            "held_out_mel_plain": distance(self.bottleneck.bypass(latent)[0]),
            "held_out_used_0": float(used[0]),
            "held_out_used": float(used.mean()),
            "held_out_rank": float(effective_rank(project(coder.quantizer.acoustic, latent))),
        }

    def pack(self) -> dict[str, Tensor]:
        return {
            **pack_state("coder", self.networks, self.optimizer),
            **pack_state("bottleneck", self.bottleneck),
        }

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "coder", self.networks, self.optimizer)
        unpack_state(state, "bottleneck", self.bottleneck)
