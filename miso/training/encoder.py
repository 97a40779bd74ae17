"""Training a codec's encoder by what is heard in its codes: through the vocoder that sounds them, and with a listener's judgement.

Tables, vocoder and language model stay what they are, so codes keep their meaning: the encoder only chooses better among them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..audio.pitch import WINDOW, octaves_off, pitch
from ..errors import MisoError
from ..vocoders.mimi import Mimi, load_mimi, save_mimi
from ..vocoders.source_filter import MIDDLE, load_source_filter
from .bottleneck import Bottleneck, draw_kept
from .crops import Crops, samples_of
from .data import Speech
from .listener import Listener
from .presets import EncoderSettings
from .replay import Replayed
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine
from .sounding import Sounding


def train_encoder(
    speech: Speech,
    codec: str | Path,
    vocoder: str | Path,
    listener: str | Path,
    run: Run,
    settings: EncoderSettings,
    device: torch.device,
) -> Path:
    """Train, or go on training, until the run's budget is used; returns the file of the codec with its new encoder, there from the first save on."""
    trainer = EncoderTrainer(speech, codec, vocoder, listener, settings, device, run.seed)
    run.record["data"] = {**speech.record, "clips": len(speech.taught())}
    path = run.folder / "codec.safetensors"
    run.train(
        trainer,
        lambda: save_mimi(path, trainer.mimi, trainer.mimi.codec),
        settings.log_every,
        settings.save_every,
    )
    return path


class EncoderTrainer:
    """The codec, of which the encoder alone learns, what makes sound of its codes, and one step."""

    def __init__(
        self,
        speech: Speech,
        codec: str | Path,
        vocoder: str | Path,
        listener: str | Path,
        settings: EncoderSettings,
        device: torch.device,
        seed: int = 0,
    ):
        self.settings, self.device = settings, device
        torch.manual_seed(seed)
        before = load_mimi(codec, device)
        self.mimi = (
            Mimi(replace(before.config, paths=settings.paths), before.codec)
            .to(device)
            .train()
            .requires_grad_(False)
        )
        self.mimi.load_state_dict(before.state_dict())
        self.net = load_source_filter(vocoder, device)
        if self.net.codec != self.mimi.config:
            raise MisoError(
                f"{Path(vocoder).name} sounds the codes of another codec.",
                "Name one that was trained on this codec's codes.",
                input="vocoder",
            )
        ours, theirs = self.mimi.quantizer, self.net.quantizer
        for module in (
            self.mimi.encoder,
            self.mimi.encoder_transformer,
            self.mimi.downsample,
            ours.semantic.input_proj,
            ours.acoustic.input_proj,
        ):
            module.requires_grad_(True)
        theirs.semantic.input_proj, theirs.acoustic.input_proj = (
            ours.semantic.input_proj,
            ours.acoustic.input_proj,
        )  # a vocoder has none
        self.bottleneck = Bottleneck(theirs, 0.0, 0.0)
        self.optimizer = adamw(self.mimi.parameters(), settings.rate, settings.betas, 0.0)
        frame, samples = self.mimi.config.frame_size, samples_of(speech, device)
        self.sounding = Sounding(
            settings, self.mimi.config.sample_rate, frame, device, Listener.load(listener, device)
        )
        self.crops, self.validation = (
            Crops(samples, clips, settings.frames * frame + WINDOW)
            for clips in (speech.taught(), speech.held_out())
        )
        self.learn = Replayed(self._learn, device)

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step; returns losses, still on the device."""
        set_rate(self.optimizer, self.settings.rate * warm_cosine(step, progress, self.settings.warm_up))
        return self.learn((), self.crops.draw(self.settings.batch).wave)

    def _learn(self, wave: Tensor) -> dict[str, Tensor]:
        c = self.settings
        wave, hertz, voiced = self._with_pitch(wave)
        kept, whole = draw_kept(c.batch, self.mimi.config.codebooks, c.dropped, 0.0, self.device)
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            with autocast(self.device):
                latent = self.mimi.analyse(wave)[0]
            bottled = self.bottleneck(latent.float(), kept, whole, learn=False)
            with autocast(self.device):
                out, octaves = self.net.synthesise(bottled.latent, hertz)
            gradient, losses = self.sounding.gradient(out, wave, None)
            losses |= {
                "pitch": octaves_off(octaves, hertz / MIDDLE, voiced),
                "commitment": bottled.commitment,
            }
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(
                (out, c.pitch * losses["pitch"] + c.commitment * losses["commitment"]), (gradient, None)
            )
            torch.nn.utils.clip_grad_norm_(self.mimi.parameters(), c.clip)
            self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    def _with_pitch(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of crops [B, 1, N + WINDOW] the samples [B, 1, N] in the middle, and their pitch and whether voiced [B, hops]."""
        hop, half = self.net.hop, WINDOW // 2
        hertz, voiced = pitch(wave[:, 0, hop:], self.mimi.config.sample_rate, hop)
        return wave[:, :, half:-half], hertz, voiced

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """On the same held-out pieces every time: the mel distance of what the vocoder makes of the codes, and how differently it is understood."""
        wave, hertz, voiced = self._with_pitch(self.validation.middles())
        codes = self.mimi.encode(wave, chunk=self.settings.frames)
        out, octaves = self.net(codes)
        return {
            "held_out_mel": float(self.sounding.mel(out, wave)),
            "held_out_heard": float(self.sounding.listener.distance(out, wave)),
            "held_out_pitch": float(octaves_off(octaves, hertz / MIDDLE, voiced)),
        }

    def pack(self) -> dict[str, Tensor]:
        return pack_state("codec", self.mimi, self.optimizer)

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "codec", self.mimi, self.optimizer)
