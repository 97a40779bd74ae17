"""Training of a codec's encoder through a vocoder, with a listener's recognition loss.

Codebooks, vocoder and language model don't change, so that codes keep their meaning: the encoder learns to
choose better ones. With the id of a new codec in the settings, codebooks and vocoder are trained as well.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..audio.pitch import WINDOW, octaves_off, pitch
from ..errors import MisoError
from ..vocoders.mimi import Mimi, load_mimi, save_mimi
from ..vocoders.source_filter import MIDDLE, SourceFilter, load_source_filter, save_source_filter
from .augment import Augment
from .bottleneck import Bottleneck, draw_kept
from .crops import Crops, samples_of
from .data import RATE, Speech
from .listener import Listener
from .replay import Replayed
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine
from .settings import EncoderSettings
from .sound_loss import SoundLoss


def train_encoder(
    speech: Speech,
    codec: str | Path,
    vocoder: str | Path,
    listener: str | Path,
    run: Run,
    settings: EncoderSettings,
    device: torch.device,
) -> Path:
    """Train, or resume training, until the run's budget is used; returns the path of the codec file.

    If codebooks and vocoder are trained, ``vocoder.safetensors`` is beside it, and the codec's own decoder
    has yet to be trained on the new codes (``train_codec``).

    Args:
        codec: codec file to start from.
        vocoder: file of the vocoder that decodes its codes.
        listener: file of the listener that judges the sound.
    """
    trainer = EncoderTrainer(speech, codec, vocoder, listener, settings, device, run.seed)
    run.record["data"] = {**speech.record, "clips": len(speech.training_clips())}
    path = run.folder / "codec.safetensors"
    run.train(trainer, lambda: trainer.publish(path), settings.log_every, settings.save_every)
    return path


class EncoderTrainer:
    """The codec, the vocoder, and the training step."""

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
        start = load_mimi(codec, device)
        if settings.codec == start.codec:
            raise MisoError(
                f"A new codec can't be called '{start.codec}' too: its codes mean something else.",
                "Give another id as `codec` in the settings.",
                input="config",
            )
        mimi = Mimi(replace(start.config, paths=settings.paths), settings.codec or start.codec)
        self.mimi = mimi.to(device).train().requires_grad_(False)
        self.mimi.load_state_dict(start.state_dict())
        self.net = load_source_filter(vocoder, device)
        if self.net.sample_rate != self.mimi.config.sample_rate:
            raise MisoError(
                f"{Path(vocoder).name} makes sound of {self.net.sample_rate} Hz, the codec "
                f"{self.mimi.config.sample_rate}.",
                "Choose a vocoder of the codec's rate.",
                input="vocoder",
            )
        if self.net.codec != self.mimi.config:
            raise MisoError(
                f"{Path(vocoder).name} decodes codes of another codec.",
                "Choose a vocoder that was trained on this codec's codes.",
                input="vocoder",
            )
        quantizer, vocoder_quantizer = self.mimi.quantizer, self.net.quantizer
        for module in (
            self.mimi.encoder,
            self.mimi.encoder_transformer,
            self.mimi.downsample,
            quantizer.semantic.input_proj,
            quantizer.acoustic.input_proj,
        ):
            module.requires_grad_(True)
        self.networks = nn.ModuleDict({"codec": self.mimi})
        if settings.codec:
            self.net.codec_id = settings.codec
            self.networks["vocoder"] = self.net.requires_grad_(True).train()
        # a vocoder's quantizer has no input projections; the codec has the vocoder's codebooks
        for ours, theirs in (
            (quantizer.semantic, vocoder_quantizer.semantic),
            (quantizer.acoustic, vocoder_quantizer.acoustic),
        ):
            theirs.input_proj, ours.tables = ours.input_proj, theirs.tables
        self.bottleneck = Bottleneck(vocoder_quantizer, settings.ema, settings.dead)
        self.optimizer = adamw(self.networks.parameters(), settings.rate, settings.betas, 0.0)
        frame, samples = self.mimi.config.frame_size, samples_of(speech, device)
        self.listener = Listener.load(listener, device)
        self.sound_loss = SoundLoss(settings, self.mimi.config.sample_rate, frame, device, self.listener)
        size = settings.frames * frame + WINDOW
        self.augment = Augment(RATE, size, device) if settings.augmented else None
        self.crops = Crops(samples, speech.training_clips(), self.augment.longer if self.augment else size)
        self.validation = Crops(samples, speech.validation_clips(), size)
        self.learn = Replayed(self._learn, device)
        if settings.codec:
            wave = self._with_pitch(Crops(samples, speech.training_clips(), size).draw(settings.batch).wave)[
                0
            ]
            with torch.no_grad():
                self.bottleneck.adopt(self.mimi.analyse(wave)[0])

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step; returns losses on the device."""
        c = self.settings
        set_rate(self.optimizer, c.rate * warm_cosine(step, progress, c.warm_up))
        wave = self.crops.draw(c.batch).wave
        heard, wave = self.augment(wave) if self.augment else (wave, wave)
        return self.learn((bool(c.codec) and progress < c.fixed_from,), heard, wave)

    def _learn(self, codebooks: bool, heard: Tensor, wave: Tensor) -> dict[str, Tensor]:
        """Train on samples [B, 1, N + WINDOW] as they are heard and as they are, and on the codebooks."""
        c, half = self.settings, WINDOW // 2
        heard = heard[:, :, half:-half]
        wave, hertz, voiced = self._with_pitch(wave)
        kept, whole = draw_kept(c.batch, self.mimi.config.codebooks, c.dropped, 0.0, self.device)
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            with autocast(self.device):
                latent = self.mimi.analyse(heard)[0]
            quantized = self.bottleneck(latent.float(), kept, whole, learn=codebooks)
            with autocast(self.device):
                out, octaves = self.net.synthesise(quantized.latent, hertz)
            gradient, losses = self.sound_loss.gradient(out, wave, None)
            losses |= {
                "pitch": octaves_off(octaves, hertz / MIDDLE, voiced),
                "commitment": quantized.commitment,
            }
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(
                (out, c.pitch * losses["pitch"] + c.commitment * losses["commitment"]), (gradient, None)
            )
            torch.nn.utils.clip_grad_norm_(self.networks.parameters(), c.clip)
            self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    def _with_pitch(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Middles [B, 1, N] of crops [B, 1, N + WINDOW], and their pitch in Hz and voicing [B, hops]."""
        hop, half = self.net.hop, WINDOW // 2
        hertz, voiced = pitch(wave[:, 0, hop:], self.mimi.config.sample_rate, hop)
        return wave[:, :, half:-half], hertz, voiced

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mel distance, listener's distance and pitch error of held-out crops."""
        wave, hertz, voiced = self._with_pitch(self.validation.middles())
        codes = self.mimi.encode(wave, chunk=self.settings.frames)
        out, octaves = self.net(codes)
        return {
            "held_out_mel": float(self.sound_loss.mel(out, wave)),
            "held_out_heard": float(self.listener.distance(out, wave)),
            "held_out_pitch": float(octaves_off(octaves, hertz / MIDDLE, voiced)),
        }

    def publish(self, path: Path) -> None:
        """Write the codec to ``path``, and the vocoder beside it if it is trained."""
        save_mimi(path, self.mimi, self.mimi.codec)
        if self.settings.codec:
            net = SourceFilter(self.net.codec, self.net.config, self.net.codec_id)
            net.load_state_dict({n: t for n, t in self.net.state_dict().items() if "input_proj" not in n})
            save_source_filter(path.with_name("vocoder.safetensors"), net)

    def pack(self) -> dict[str, Tensor]:
        return {
            **pack_state("networks", self.networks, self.optimizer),
            **pack_state("bottleneck", self.bottleneck),
        }

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "networks", self.networks, self.optimizer)
        unpack_state(state, "bottleneck", self.bottleneck)
