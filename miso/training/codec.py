"""Training of a small Mimi for given codes: the decoder learns to decode them, the encoder to produce them.

The codes are those of a mel coder (``melcoder``). Without a coder they are those of the codec itself, and
only its decoder is trained.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import MisoError
from ..vocoders.mimi import Mimi, load_mimi, random_mimi, save_mimi
from .bottleneck import project
from .crops import Crops, samples_of
from .data import Speech
from .melcoder import MelCoder
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine
from .settings import CodecSettings
from .sound_loss import SoundLoss


def train_codec(
    speech: Speech,
    run: Run,
    settings: CodecSettings,
    device: torch.device,
    *,
    coder: str | Path | None = None,
    start: str | Path | None = None,
) -> Path:
    """Train, or resume training, until the run's budget is used; returns the path of the codec file.

    Args:
        coder: file of the mel coder whose codes the codec learns.
        start: codec file to start from (default: random weights). Without a coder its codes stay the same.

    Raises MisoError if neither is given, or if their sizes differ.
    """
    trainer = CodecTrainer(speech, settings, device, run.seed, coder, start)
    run.record["data"] = {
        **speech.record,
        "clips": len(trainer.clips),
        "hours": round(sum(c.samples for c in trainer.clips) / 24_000 / 3600, 3),
    }
    run.record["parameters"] = sum(p.numel() for p in trainer.mimi.parameters())
    path = run.folder / "codec.safetensors"
    run.train(
        trainer,
        lambda: save_mimi(path, trainer.mimi, trainer.mimi.codec),
        settings.log_every,
        settings.save_every,
    )
    return path


class CodecTrainer:
    """The codec, its discriminators and the training step."""

    def __init__(
        self,
        speech: Speech,
        settings: CodecSettings,
        device: torch.device,
        seed: int = 0,
        coder: str | Path | None = None,
        start: str | Path | None = None,
    ):
        self.settings, self.device = settings, device
        self.clips = speech.training_clips()
        torch.manual_seed(seed)
        self.coder = MelCoder.load(coder, device) if coder else None
        self.mimi = _initial_codec(self.coder, seed, start).to(device).train()
        quantizer = self.mimi.quantizer.requires_grad_(False)
        for part in (quantizer.semantic, quantizer.acoustic):
            part.output_proj.requires_grad_(True)  # trained with the decoder
        if not self.coder:
            for module in (self.mimi.encoder, self.mimi.encoder_transformer, self.mimi.downsample):
                module.requires_grad_(False)
        self.optimizer = adamw(self.mimi.parameters(), settings.rate, settings.betas, 0.01)
        self.sound_loss = SoundLoss(
            settings, self.mimi.config.sample_rate, self.mimi.config.frame_size, device
        )
        size = settings.frames * self.mimi.config.frame_size
        samples = samples_of(speech, device)
        self.crops = Crops(samples, self.clips, size)
        self.validation = Crops(samples, speech.validation_clips(), size)

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step of the codec, later also of the discriminators; returns losses on the device."""
        c = self.settings
        wave = self.crops.draw(c.batch).wave
        rate = warm_cosine(step, progress, c.warm_up)
        set_rate(self.optimizer, c.rate * rate)
        codes, target = self._targets(wave)
        books = codes.shape[1]
        if torch.rand(()) < c.dropped:
            codes = codes[:, : int(torch.randint(1, books + 1, ()))]
        # benchmark: all steps have the same shapes
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            with autocast(self.device):
                latent = self.mimi.analyse(wave)[0] if self.coder else None
                out, _ = self.mimi.synthesise(self.mimi.quantizer.decode(codes))
            share = self.sound_loss.adversarial_share(progress, rate)
            gradient, losses = self.sound_loss.gradient(out, wave, share)
            tensors, gradients = [out], [gradient]
            if latent is not None:
                losses["latent"] = self._distance(latent.float(), target)
                tensors.append(losses["latent"])
                gradients.append(torch.ones_like(losses["latent"]))
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(tensors, gradients)
        # clip separately: the halves share no parameters, and their norms differ widely
        for half in self._halves():
            torch.nn.utils.clip_grad_norm_(half, c.clip)
        self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    @torch.no_grad()
    def _targets(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, K, T] for the decoder, and the latent [B, dim, T] that the encoder should give."""
        latent = self.coder.analyse(wave) if self.coder else self.mimi.analyse(wave)[0]
        return self.mimi.quantizer.encode(latent, self.mimi.config.codebooks), latent

    def _distance(self, latent: Tensor, target: Tensor) -> Tensor:
        """Mean squared error after the quantizer's projections, relative to the target's variance."""
        parts = (self.mimi.quantizer.semantic, self.mimi.quantizer.acoustic)
        pairs = [(project(part, latent), project(part, target)) for part in parts]
        first, second = (
            (a - b).square().mean() / b.transpose(0, 1).flatten(1).var(1).mean() for a, b in pairs
        )
        return (first + second) / 2

    def _halves(self) -> list[list[nn.Parameter]]:
        """Parameters with gradients: the encoder's, and the decoder's."""
        m = self.mimi
        return [
            [p for module in half for p in module.parameters() if p.grad is not None]
            for half in (
                (m.encoder, m.encoder_transformer, m.downsample),
                (m.quantizer, m.upsample, m.decoder_transformer, m.decoder),
            )
        ]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mel distance of held-out crops, with all codebooks and with half of them.

        With a coder also the share of codes equal to the coder's, over all codebooks and for codebook 0.
        """
        wave = self.validation.middles()
        books = self.mimi.config.codebooks
        mel, (out, quantized) = self.sound_loss.mel, self.mimi(wave)
        figures = {
            "held_out_mel": float(mel(out, wave)),
            "held_out_mel_half": float(mel(self.mimi(wave, max(1, books // 2))[0], wave)),
        }
        if self.coder:
            same = (quantized.codes == self._targets(wave)[0]).float()
            figures |= {"held_out_same": float(same.mean()), "held_out_same_0": float(same[:, 0].mean())}
        return figures

    def pack(self) -> dict[str, Tensor]:
        return {**pack_state("codec", self.mimi, self.optimizer), **self.sound_loss.pack()}

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "codec", self.mimi, self.optimizer)
        self.sound_loss.unpack(state)


def _initial_codec(coder: MelCoder | None, seed: int, start: str | Path | None) -> Mimi:
    """The codec of the file ``start``, or one with random weights and the coder's quantizer."""
    if start:
        mimi = load_mimi(start)
        if coder and coder.config != mimi.config:
            raise MisoError(
                f"{Path(start).name} has other sizes than the coder.",
                "Choose the coder that it was trained with.",
                input="start",
            )
        return mimi
    if coder is None:
        raise MisoError(
            "A codec is trained on existing codes, but there is no coder.",
            "Give a coder with --coder, or a codec with --start.",
            input="coder",
        )
    # random_mimi, unlike torch, preserves the scale of signals through 40 layers without norms
    mimi = random_mimi(coder.config, seed, coder.codec)
    mimi.quantizer.load_state_dict(coder.quantizer.state_dict())
    return mimi
