"""Training a small Mimi: spectral distance and commitment first, then critics beside them, and words to be read off codebook 0."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import MisoError
from ..mimi import load_mimi, random_mimi, save_mimi
from .bottleneck import Bottleneck, draw_kept, effective_rank, perplexity
from .content import LETTERS, PHONES, ContentHead
from .crops import Crop, Crops, Words, samples_of
from .data import Speech
from .discriminator import Critics, codec_losses, critics_loss
from .presets import CodecSettings
from .run import Run, adamw, pack_state, set_rate, unpack_state, warm_cosine
from .spectral import MelLoss

_LEAD, _RAMP = 0.05, 0.1  # of the budget: how long the critics only learn, and then how long their weight takes to its full height:
# untaught ones are noise, and with gradients scaled to that of the mel loss it would be loud
_NORMS = 0.99  # decay of the running gradient norms


def train_codec(speech: Speech, run: Run, settings: CodecSettings, device: torch.device, start: str | Path | None = None) -> Path:
    """Train, or go on training, until the run's budget is used; returns the codec file, which is there from the first save on.

    ``start`` is a codec file to begin with instead of random weights.
    """
    trainer = CodecTrainer(speech, settings, device, run.seed, start)
    if (state := run.load()) is not None:
        trainer.unpack(state)
    run.record["data"] = {"folder": speech.folder.name, "clips": len(trainer.clips), "voices": speech.voices,
                          "hours": round(sum(c.samples for c in trainer.clips) / 24_000 / 3600, 3), "phonemes": trainer.words.phonemes}
    run.record["parameters"] = sum(p.numel() for p in trainer.mimi.parameters())
    path, saved = run.folder / "codec.safetensors", time.monotonic()

    def save() -> None:
        run.record["figures"] = trainer.validate()
        run.note(**run.record["figures"])
        save_mimi(path, trainer.mimi, settings.codec)
        run.save(trainer.pack())

    for step in run.steps():
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):  # for a step only: its shapes are always the same
            losses = trainer.step(step, run.progress)
        if run.step % settings.log_every == 0:
            run.note(**losses)
        if time.monotonic() - saved > 60 * settings.save_every:
            save()
            saved = time.monotonic()
    save()
    return path


class CodecTrainer:
    """The networks, their optimizers and one step of both."""

    def __init__(self, speech: Speech, settings: CodecSettings, device: torch.device, seed: int = 0, start: str | Path | None = None):
        self.settings, self.device = settings, device
        self.clips = speech.split("train")
        if not self.clips:
            raise MisoError(f"{speech.folder} has no clips to train on.", "Prepare more speech.")
        torch.manual_seed(seed)
        # random_mimi keeps signals their size through 40 layers without norms; torch's own initial weights would make them vanish
        self.mimi = load_mimi(start) if start else random_mimi(settings.sizes, seed, settings.codec)
        if start and self.mimi.config != settings.sizes:
            raise MisoError(f"{Path(start).name} is of other sizes than the settings.", "Give its sizes in the settings.", input="start")
        if settings.frozen and not start:
            raise MisoError("A frozen codec has to be one already trained.", "Name it with --start.", input="start")
        self.words = Words(self.clips, device)
        head = ContentHead(settings.sizes.dim, len(PHONES if self.words.phonemes else LETTERS))
        self.made_by = nn.ModuleDict({"mimi": self.mimi.train(), "head": head}).to(device)
        self.critics = Critics(settings.windows, settings.disc_filters).to(device, memory_format=torch.channels_last)
        self.bottleneck = Bottleneck(self.mimi.quantizer, settings.ema, settings.dead)
        self.plain = settings.plain
        if start:
            self.bottleneck.adopt()
            self.plain = 0
        if settings.frozen:
            q = self.mimi.quantizer
            for module in (self.mimi.encoder, self.mimi.encoder_transformer, self.mimi.downsample, q.semantic.input_proj, q.acoustic.input_proj):
                module.requires_grad_(False)
        self.optimizer = adamw(self.made_by, settings.rate, settings.betas, 0.01)
        self.critics_optimizer = adamw(self.critics, settings.disc_rate, settings.betas, 0.01)
        self.mel = MelLoss(settings.sizes.sample_rate).to(device)
        self.norms = torch.zeros(3, device=device)  # running gradient norms at the sound: mel, adversarial, features
        size = settings.frames * settings.sizes.frame_size
        samples = samples_of(speech, device)
        self.crops = Crops(samples, self.clips, size)
        held_out = speech.split("validation") or self.clips
        self.validation = Crops(samples, held_out, size)

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step of the codec, and of the critics once they take part; returns losses, still on the device."""
        c, crop = self.settings, self.crops.draw(self.settings.batch)
        rate = warm_cosine(step, progress, c.warm_up)
        set_rate(self.optimizer, c.rate * rate)
        kept, bypassed = draw_kept(c.batch, c.sizes.codebooks, c.dropped, c.bypassed, self.device)
        with self._autocast(), torch.set_grad_enabled(not c.frozen):
            latent, _ = self.mimi.analyse(crop.wave)
        losses = {}
        if step < self.plain:
            bottled, content, commitment = self.bottleneck.around(latent.float())
        else:
            bottled, content, codes, commitment = self.bottleneck(latent.float(), kept, bypassed, learn=not c.frozen)
            losses |= {"commitment": commitment, "used": perplexity(codes, c.sizes.codebook_size).mean()}
        with self._autocast():
            out, _ = self.mimi.synthesise(bottled)
        # losses of the sound are taken at a leaf, so that their gradients can be weighed against each other before they go on
        sound = out.detach().float().requires_grad_()
        mel = self.mel(sound, crop.wave)
        gradient = torch.autograd.grad(mel, sound)[0] * c.mel
        losses["mel"] = mel
        if progress >= c.adversarial_from:
            ramp = min(1.0, max(0.0, progress - c.adversarial_from - _LEAD) / _RAMP)
            losses |= self._criticise(sound, crop.wave, gradient, ramp, rate)
        inner = c.commitment * commitment
        if c.content and not c.frozen:
            losses["content"] = self._content(content, crop)
            inner = inner + c.content * losses["content"]
        self.optimizer.zero_grad(set_to_none=True)
        roots = [(out, gradient.to(out.dtype))] + [(inner, None)] * inner.requires_grad  # nothing in there to learn from, if frozen
        torch.autograd.backward(*zip(*roots))
        torch.nn.utils.clip_grad_norm_(self.made_by.parameters(), c.clip)
        self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    def _criticise(self, sound: Tensor, real: Tensor, gradient: Tensor, ramp: float, rate: float) -> dict[str, Tensor]:
        """Add the critics' gradients to ``gradient`` [B, 1, N] in place, each with its share of the mel loss's norm; then teach the critics."""
        c = self.settings
        length = c.disc_frames * c.sizes.frame_size
        first = int(torch.randint(0, sound.shape[-1] - length + 1, ()))
        part = (slice(0, c.disc_batch), slice(None), slice(first, first + length))
        fake = sound[part].detach().requires_grad_()
        with self._autocast():
            judged_real, judged_fake = self.critics(real[part]), self.critics(fake)
        adversarial, features = codec_losses(judged_real, judged_fake)
        grads = [torch.autograd.grad(loss, fake, retain_graph=True)[0] for loss in (adversarial, features)]
        norms = torch.stack([g.norm() for g in (gradient[part], *grads)])
        self.norms = torch.where(self.norms == 0, norms, self.norms.lerp(norms, 1 - _NORMS))
        shares = ramp * torch.tensor([c.adversarial, c.features], device=self.device) * self.norms[0] / self.norms[1:].clamp(min=1e-12)
        gradient[part] += shares[0] * grads[0] + shares[1] * grads[1]
        loss = critics_loss(judged_real, judged_fake)
        set_rate(self.critics_optimizer, c.disc_rate * rate)
        self.critics_optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.critics.parameters()))
        self.critics_optimizer.step()
        return {"adversarial": adversarial, "features": features, "critics": loss}

    def _content(self, latent: Tensor, crop: Crop) -> Tensor:
        return self.made_by["head"].loss(latent, self.words.targets[crop.clip], self.words.lengths[crop.clip], crop.whole)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mel distance on the same held-out pieces every time, with all codebooks, with half and without quantizing; how many entries are in
        use; and the effective rank of the acoustic latents: where it is low, little passes, however well it is quantized."""
        c = self.settings
        clip = torch.arange(min(64, len(self.validation.starts)), device=self.device)
        wave = self.validation.cut(clip, torch.full((len(clip),), 0.5, dtype=torch.float64, device=self.device)).wave
        out, quantized = self.mimi(wave)
        half = self.mimi(wave, max(1, c.sizes.codebooks // 2))[0]
        latent, _ = self.mimi.analyse(wave)
        plain, _ = self.mimi.synthesise(self.bottleneck.around(latent)[0])
        used = perplexity(quantized.codes, c.sizes.codebook_size)
        return {"held_out_mel": float(self.mel(out, wave)), "held_out_mel_half": float(self.mel(half, wave)),
                "held_out_mel_plain": float(self.mel(plain, wave)), "held_out_used_0": float(used[0]), "held_out_used": float(used.mean()),
                "held_out_rank": float(effective_rank(self.mimi.quantizer.acoustic.input_proj(latent)))}

    def pack(self) -> dict[str, Tensor]:
        return {**pack_state("codec", self.made_by, self.optimizer), **pack_state("critics", self.critics, self.critics_optimizer),
                **pack_state("bottleneck", self.bottleneck), "norms": self.norms}

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "codec", self.made_by, self.optimizer)
        unpack_state(state, "critics", self.critics, self.critics_optimizer)
        unpack_state(state, "bottleneck", self.bottleneck)
        self.norms = state["norms"].to(self.device)

    def _autocast(self):
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()


def sizes_of(path: str | Path, settings: CodecSettings) -> CodecSettings:
    """The settings with the sizes and the codec id of a codec file, to train it further."""
    from ..mimi.weights import inspect_mimi

    info = inspect_mimi(path)
    return replace(settings, sizes=info.config, codec=info.codec)
