"""Training of a source-filter vocoder for the codes of a codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..audio.pitch import octaves_off, pitch, window_size
from ..codes.retired import other_codec
from ..errors import MisoError
from ..vocoders.mimi import Mimi, load_mimi
from ..vocoders.source_filter import MIDDLE, SourceFilter, load_source_filter, save_source_filter
from .coded import CodedSpeech
from .crops import samples_of
from .data import RATE, Clip, Speech
from .listener import Listener
from .replay import Replayed
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine
from .settings import VocoderSettings
from .sound_loss import SoundLoss


def train_vocoder(
    speech: Speech,
    coded: CodedSpeech,
    codec: str | Path,
    run: Run,
    settings: VocoderSettings,
    device: torch.device,
    *,
    start: str | Path | None = None,
    listener: str | Path | None = None,
) -> Path:
    """Train, or resume training, until the run's budget is used; returns the path of the vocoder's file.

    The vocoder's sound has the rate of ``speech``: that of the codec, or twice that.

    Args:
        coded: codes of ``speech``.
        codec: codec file that made them.
        start: vocoder file to start from (default: random weights).
        listener: file of a listener whose distance is added to the loss.

    Raises MisoError if the codes are of another codec or other speech, if ``start`` has other sizes, or if
    ``listener`` is given and the speech isn't at 24 kHz, which it hears.
    """
    trainer = VocoderTrainer(speech, coded, codec, settings, device, run.seed, start, listener)
    run.record["data"] = {**speech.record, "clips": len(trainer.train)}
    run.record["parameters"] = sum(p.numel() for p in trainer.net.parameters())
    path = run.folder / "vocoder.safetensors"
    run.train(trainer, lambda: save_source_filter(path, trainer.net), settings.log_every, settings.save_every)
    return path


class VocoderTrainer:
    """The vocoder, its discriminators and the training step."""

    def __init__(
        self,
        speech: Speech,
        coded: CodedSpeech,
        codec: str | Path,
        settings: VocoderSettings,
        device: torch.device,
        seed: int = 0,
        start: str | Path | None = None,
        listener: str | Path | None = None,
    ):
        self.settings, self.device = settings, device
        torch.manual_seed(seed)
        mimi = load_mimi(codec)
        if mimi.codec != coded.codec:
            told = other_codec(
                coded.codec,
                f"{Path(codec).name} is '{mimi.codec}'",
                f"The codes are of the codec '{coded.codec}', but {Path(codec).name} is '{mimi.codec}'.",
                "Choose the codec that made the codes.",
            )
            raise MisoError(*told, input="codec")
        if listener:
            speech.require_rate(RATE)
        self.net = _initial_vocoder(start, settings, mimi, speech.rate)
        for part in (self.net.quantizer.semantic, self.net.quantizer.acoustic):
            part.tables.requires_grad_(False)
        self.net.to(device).train()
        self.size = self.net.frame_size
        self.optimizer = adamw(self.net.parameters(), settings.rate, settings.betas, 0.01)
        self.sound_loss = SoundLoss(
            settings,
            self.net.sample_rate,
            self.size,
            device,
            Listener.load(listener, device) if listener else None,
        )
        self.samples, self.codes = samples_of(speech, device, speech.rate), coded.codes.to(device)
        self.train, held_out = (
            _places(speech, coded, split, settings.frames, self.size).to(device)
            for split in ("train", "validation")
        )
        if not len(self.train):
            raise MisoError(
                f"{coded.path.name} has no codes for clips in {speech.folder.name} that are long enough.",
                "Encode this speech: python -m miso train codes",
                input="codes",
            )
        self.learn = Replayed(self._learn, device)
        self.held_out = (held_out if len(held_out) else self.train)[:64]

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step; returns losses on the device."""
        c = self.settings
        rate = warm_cosine(step, progress, c.warm_up)
        set_rate(self.optimizer, c.rate * rate)
        share = self.sound_loss.adversarial_share(progress, rate)
        place = self.train[torch.multinomial(self.train[:, 2].double(), c.batch, replacement=True)]
        books = self.codes.shape[1]
        if torch.rand(()) < c.dropped:
            books = int(torch.randint(1, books + 1, ()))
        where = torch.rand(c.batch, device=self.device)
        return self.learn((books,), place, where, *([] if share is None else [share]))

    def _learn(
        self, books: int, place: Tensor, where: Tensor, share: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Train on crops (see ``_cut``) by their first ``books`` codebooks."""
        c = self.settings
        codes, wave, hertz, voiced = self._cut(place, where)
        # benchmark: all steps have the same shapes
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            with autocast(self.device):
                out, octaves = self.net(codes[:, :books], hertz)
            gradient, losses = self.sound_loss.gradient(out, wave, share)
            losses["pitch"] = octaves_off(octaves, hertz / MIDDLE, voiced)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward((out, c.pitch * losses["pitch"]), (gradient, None))
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), c.clip)
            self.optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    def _cut(self, place: Tensor, where: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Crops: codes [B, K, frames], samples [B, 1, frames * size], pitch in Hz and voicing [B, hops].

        ``place`` [B, 3] are rows of ``_places``, ``where`` [B] in [0, 1) chooses among the possible starts.
        """
        frames, hop, half = self.settings.frames, self.net.hop, window_size(self.net.sample_rate) // 2
        first = (where * place[:, 2]).long()
        frame_index = (place[:, 1] + first)[:, None] + torch.arange(frames, device=self.device)
        codes = self.codes[frame_index].long().transpose(1, 2)
        # with half a window on either side, so that the windows of the pitch are centred on the ends of hops
        span = torch.arange(hop - half, frames * self.size + half, device=self.device)
        index = (place[:, 0] + first * self.size)[:, None] + span
        samples = self.samples[index.clamp(0, len(self.samples) - 1)].float().div(32768)
        hertz, voiced = pitch(samples, self.net.sample_rate, hop)
        return codes, samples[:, None, half - hop : -half], hertz, voiced

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mel distance of held-out crops with all codebooks, with half, and at their true pitch.

        Also the error of the pitch in octaves and, with a listener, its distance.
        """
        middle = torch.full((len(self.held_out),), 0.5, device=self.device)
        codes, wave, hertz, voiced = self._cut(self.held_out, middle)
        out, octaves = self.net(codes)
        half, _ = self.net(codes[:, : max(1, codes.shape[1] // 2)])
        true_pitch, _ = self.net(codes, hertz)
        mel, listener = self.sound_loss.mel, self.sound_loss.listener
        figures = {"held_out_mel": float(mel(out, wave))}
        if listener:
            figures["held_out_heard"] = float(listener.distance(out, wave))
        return {
            **figures,
            "held_out_mel_half": float(mel(half, wave)),
            "held_out_mel_pitch": float(mel(true_pitch, wave)),
            "held_out_pitch": float(octaves_off(octaves, hertz / MIDDLE, voiced)),
        }

    def pack(self) -> dict[str, Tensor]:
        return {**pack_state("vocoder", self.net, self.optimizer), **self.sound_loss.pack()}

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "vocoder", self.net, self.optimizer)
        self.sound_loss.unpack(state)


def _initial_vocoder(
    start: str | Path | None, settings: VocoderSettings, mimi: Mimi, rate: int
) -> SourceFilter:
    """The vocoder of the file ``start``, or one with random weights for the codes of ``mimi``."""
    sizes = replace(settings.sizes, sample_rate=0 if rate == mimi.config.sample_rate else rate)
    if not start:
        net = SourceFilter(mimi.config, sizes, mimi.codec)
        net.quantizer.load_state_dict(
            {n: t for n, t in mimi.quantizer.state_dict().items() if "input_proj" not in n}
        )
        return net
    net = load_source_filter(start).requires_grad_(True)
    if net.config != sizes or net.codec != mimi.config:
        raise MisoError(
            f"{Path(start).name} has other sizes than the settings, or is for another codec.",
            "Set its sizes with --config.",
            input="start",
        )
    return net


def _places(speech: Speech, coded: CodedSpeech, split: str, frames: int, size: int) -> Tensor:
    """First sample, first frame and number of possible starts [N, 3] of the clips with enough frames.

    If a clip is encoded in several versions, the frames are those of the first one, which has no silence
    before it.
    """
    first: dict[tuple[str, str], int] = {}
    for utterance in coded.split(split):
        first.setdefault((utterance.text, utterance.voice), utterance.start)

    def place(clip: Clip) -> tuple[int, int, int] | None:
        start, room = first.get((clip.text, clip.voice)), clip.samples // size - frames + 1
        return None if start is None or room < 1 else (clip.start, start, room)

    return torch.tensor([p for p in map(place, speech.split(split)) if p], dtype=torch.int64).reshape(-1, 3)
