"""Training a small Mimi whose codes are there already: its decoder makes sound of them, its encoder learns to give them.

The codes are a mel coder's (``melcoder``), or the codec's own, if there is no coder: then only what turns them into sound is trained.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import MisoError
from ..vocoders.mimi import Mimi, load_mimi, random_mimi, save_mimi
from .crops import Crops, samples_of
from .data import Speech
from .melcoder import MelCoder
from .presets import CodecSettings
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine
from .sounding import Sounding


def train_codec(
    speech: Speech,
    run: Run,
    settings: CodecSettings,
    device: torch.device,
    *,
    coder: str | Path | None = None,
    start: str | Path | None = None,
) -> Path:
    """Train, or go on training, until the run's budget is used; returns the codec file, which is there from the first save on.

    ``coder`` is the mel coder whose codes are taught. ``start`` is a codec file to begin with instead of random weights; without a
    coder its codes stay as they are.
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
    """The networks, their optimizers and one step of both."""

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
        self.clips = speech.taught()
        torch.manual_seed(seed)
        self.coder = MelCoder.load(coder, device) if coder else None
        self.mimi = _begin(self.coder, seed, start).to(device).train()
        quantizer = self.mimi.quantizer.requires_grad_(False)
        for part in (quantizer.semantic, quantizer.acoustic):
            part.output_proj.requires_grad_(True)  # the tables' way out is the decoder's side
        if not self.coder:
            for module in (self.mimi.encoder, self.mimi.encoder_transformer, self.mimi.downsample):
                module.requires_grad_(False)
        self.optimizer = adamw(self.mimi.parameters(), settings.rate, settings.betas, 0.01)
        self.sounding = Sounding(settings, self.mimi.config.sample_rate, self.mimi.config.frame_size, device)
        size = settings.frames * self.mimi.config.frame_size
        samples = samples_of(speech, device)
        self.crops = Crops(samples, self.clips, size)
        self.validation = Crops(samples, speech.held_out(), size)

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step of the codec, and of the critics once they take part; returns losses, still on the device."""
        c, wave = self.settings, self.crops.draw(self.settings.batch).wave
        rate = warm_cosine(step, progress, c.warm_up)
        set_rate(self.optimizer, c.rate * rate)
        codes, target = self._taught(wave)
        books = codes.shape[1]
        if torch.rand(()) < c.dropped:
            codes = codes[:, : int(torch.randint(1, books + 1, ()))]
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=True
        ):  # for a step only: its shapes are always the same
            with autocast(self.device):
                latent = self.mimi.analyse(wave)[0] if self.coder else None
                out, _ = self.mimi.synthesise(self.mimi.quantizer.decode(codes))
            gradient, losses = self.sounding.gradient(out, wave, self.sounding.begin(progress, rate))
            roots = [(out, gradient)]
            if latent is not None:
                losses["latent"] = self._distance(latent.float(), target)
                roots.append((losses["latent"], None))
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(*zip(*roots))
        for half in self._halves():  # each on its own: they share nothing, and one is often the louder
            torch.nn.utils.clip_grad_norm_(half, c.clip)
        self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    @torch.no_grad()
    def _taught(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """The codes [B, K, T] of samples that the decoder is taught, and the latent [B, dim, T] before them, which the encoder is."""
        latent = self.coder.analyse(wave) if self.coder else self.mimi.analyse(wave)[0]
        return self.mimi.quantizer.encode(latent, self.mimi.config.codebooks), latent

    def _distance(self, latent: Tensor, target: Tensor) -> Tensor:
        """Mean square distance of two latents as the quantizer sees them, by the variance of the second."""
        parts = (self.mimi.quantizer.semantic, self.mimi.quantizer.acoustic)
        pairs = [(part.input_proj(latent), part.input_proj(target)) for part in parts]
        return sum(
            (a - b).square().mean() / b.transpose(0, 1).flatten(1).var(1).mean() for a, b in pairs
        ) / len(parts)

    def _halves(self) -> list[list[nn.Parameter]]:
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
        """Mel distance on the same held-out pieces every time, with all codebooks and with half, from the codec's own codes; and, with a
        coder, the share of them that are the coder's: of all, and of codebook 0's."""
        wave = self.validation.middles()
        books = self.mimi.config.codebooks
        mel, (out, quantized) = self.sounding.mel, self.mimi(wave)
        figures = {
            "held_out_mel": float(mel(out, wave)),
            "held_out_mel_half": float(mel(self.mimi(wave, max(1, books // 2))[0], wave)),
        }
        if self.coder:
            same = (quantized.codes == self._taught(wave)[0]).float()
            figures |= {"held_out_same": float(same.mean()), "held_out_same_0": float(same[:, 0].mean())}
        return figures

    def pack(self) -> dict[str, Tensor]:
        return {**pack_state("codec", self.mimi, self.optimizer), **self.sounding.pack()}

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "codec", self.mimi, self.optimizer)
        self.sounding.unpack(state)


def _begin(coder: MelCoder | None, seed: int, start: str | Path | None) -> Mimi:
    """The codec of ``start``, or one with random weights around the coder's quantizer."""
    if start:
        mimi = load_mimi(start)
        if coder and coder.config != mimi.config:
            raise MisoError(
                f"{Path(start).name} is of other sizes than the coder.",
                "Name the coder that it was taught by.",
                input="start",
            )
        return mimi
    if coder is None:
        raise MisoError(
            "A codec is taught codes that are there already.",
            "Name a coder with --coder, or a codec with --start.",
            input="coder",
        )
    # random_mimi keeps signals their size through 40 layers without norms; torch's own initial weights would make them vanish
    mimi = random_mimi(coder.config, seed, coder.codec)
    mimi.quantizer.load_state_dict(coder.quantizer.state_dict())
    return mimi
