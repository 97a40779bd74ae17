"""Settings of the trainings, with the reasons; the defaults make ``nano``, ``TINY`` is what the tests train in seconds.

A --config file is JSON with the same names, and only those that differ: {"rate": 1e-3, "sizes": {"filters": 16}}.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import MisoError
from ..model.config import PRESETS, ModelConfig, StackConfig
from ..vocoders.mimi.config import MimiConfig
from ..vocoders.source_filter import SourceFilterConfig
from .spectral import SCALES

Settings = TypeVar("Settings")

# 24 filters and 2 + 2 layers cost a core about 0.05 s a second of speech; 8 codebooks of 2048 are 1100 bit/s
NANO_CODEC = MimiConfig(
    filters=24,
    dim=192,
    heads=4,
    encoder_layers=2,
    decoder_layers=2,
    ff=768,
    layer_scale=0.1,
    codebooks=8,
    codebook_size=2048,
    codebook_dim=64,
)


@dataclass(frozen=True)
class CoderSettings:
    sizes: MimiConfig = NANO_CODEC  # of the codec that is to have its codes
    codec: str = "nano"  # codec id
    width: int = 384
    reader: int = 128  # width of the head that reads the words
    seconds: float = 80.0  # of speech a batch
    rate: float = 1.5e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 100
    clip: float = 5.0  # of the gradient's norm
    plain: int = 200  # first steps without quantizing: tables begun on the vectors of an untaught encoder follow its drift
    ema: float = 0.99  # of a codebook's sums and counts
    dead: float = (
        0.05  # a codebook entry used less than this share of the average is restarted from the batch
    )
    dropped: float = 0.25  # share of clips quantized by only the first n codebooks, n drawn anew for each
    bypassed: float = 0.3  # share that isn't quantized at all (the Moshi report, 2410.00037, 3.3.2, uses a half and finds it helps)
    # the weights of losses beside the spectral one
    commitment: float = 0.15
    content: float = 0.1
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class SoundSettings:
    """Of whatever is trained to make sound."""

    frames: int = 16  # of a crop: 1.28 s
    batch: int = 32
    rate: float = 8e-4
    betas: tuple[float, float] = (0.8, 0.97)
    warm_up: int = 100
    clip: float = 3.0  # of each half's gradient
    dropped: float = 0.2  # share of steps with only the first n codebooks, n drawn anew for each
    scales: tuple[tuple[int, int], ...] = SCALES  # of the spectral distance
    heard: float = 2.0  # weight of the listener's distance, if there is a listener, as a share of the mel loss's gradient
    # the critics, and the weight of their losses as shares of the mel loss's gradient
    adversarial: float = 0.2
    features: float = 0.5
    adversarial_from: float = 0.5  # of the budget: first the mel loss alone
    windows: tuple[int, ...] = (1024, 512, 256)
    disc_filters: int = 32
    disc_frames: int = 12  # of each crop, anywhere in it: more of them teach little and cost most of the step
    disc_batch: int = 32
    disc_rate: float = 3e-4
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class CodecSettings(SoundSettings):
    """Those of all that makes sound, as they stand."""


@dataclass(frozen=True)
class VocoderSettings(SoundSettings):
    """Small batches and critics: a step takes a second on one CPU core, and many steps are what it wants."""

    sizes: SourceFilterConfig = SourceFilterConfig()
    batch: int = 16
    rate: float = 1.2e-3
    scales: tuple[tuple[int, int], ...] = SCALES[3:]
    pitch: float = 0.5  # weight of its distance, in octaves, beside the spectral one
    # by what critics ask for it sounds natural: their gradient is four times the mel loss's, which alone makes a mean of all that fits the codes
    adversarial: float = 2.0
    features: float = 2.0
    adversarial_from: float = 0.3
    windows: tuple[int, ...] = (1024, 512, 256, 128, 64)  # the shortest see within a period
    disc_filters: int = 16
    disc_frames: int = 6
    disc_batch: int = 8
    disc_rate: float = 1e-3


@dataclass(frozen=True)
class EncoderSettings(SoundSettings):
    """Without critics: an encoder can't make a sound more natural than the vocoder does."""

    paths: int = 8  # along which the codec is to search its codes
    frames: int = 24
    batch: int = 64
    rate: float = 2e-4
    clip: float = 1.0
    scales: tuple[tuple[int, int], ...] = SCALES[3:]
    pitch: float = 0.5  # weight of its distance, in octaves
    commitment: float = (
        0.5  # with 0.1 latents drifted from the tables, and after 1000 steps beyond all measure
    )
    dropped: float = 0.1
    adversarial_from: float = 1.0


@dataclass(frozen=True)
class ListenerSettings:
    width: int = 256
    blocks: int = 6
    seconds: float = 60.0  # of speech a batch
    rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 100
    clip: float = 2.0  # of the gradient's norm
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class LMSettings:
    sizes: ModelConfig = PRESETS["nano"]
    tokens: int = 12_288  # rows a batch: about 150 utterances
    rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.95)
    decay: float = 0.1
    muon: bool = True  # for the layers' matrices; the rest has AdamW
    warm_up: int = 100
    clip: float = 1.0  # of the gradient's norm
    dropout: float = 0.15
    ema: float = 0.998  # of the weights that are saved; 0 for none
    picked: float = 0.25  # share of frames the depth decoder is trained on
    no_text: float = 0.02  # share of segments whose text is left out, for guidance
    letters: float = 0.1  # share of segments read by their letters by a model that reads sounds
    unseen: float = 0.25  # share of frames left out of what is read, so that what comes next is told from the text (Bowman et al. 2016, 1511.06349)
    anonymous: float = 0.3  # share of conversations whose speakers get any other numbers, so that only their sound tells who they are
    segments: tuple[float, ...] = (0.6, 0.28, 0.12)  # shares of conversations of 1, 2, 3 segments
    same_voice: float = 0.6  # share of conversations held by one voice alone
    keep_best: bool = True  # save the weights of the lowest validation loss, not the last
    validate_every: int = 500
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class FinetuneSettings(LMSettings):
    """``sizes`` is not used: they are the checkpoint's."""

    rank: int = 0  # of LoRA; 0 trains all weights
    muon: bool = False
    tokens: int = 4096
    rate: float = 1e-4
    warm_up: int = 20
    dropout: float = 0.0
    ema: float = 0.0
    unseen: float = 0.0
    anonymous: float = 0.0
    segments: tuple[float, ...] = (0.75, 0.18, 0.07)
    same_voice: float = 0.5
    validate_every: int = 50
    log_every: int = 10


TINY_CODEC = replace(
    NANO_CODEC,
    filters=4,
    dim=32,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    ff=64,
    codebooks=4,
    codebook_size=32,
    codebook_dim=8,
)
TINY_MODEL = replace(
    PRESETS["nano"],
    backbone=StackConfig(2, 4, 2, 64, 128),
    depth=StackConfig(1, 4, 2, 48, 96),
    audio_vocab=35,
    codebooks=4,
    codebook_size=32,
    codec="tiny",
    positions=512,
    family="bytes",
    text_vocab=258,
)

PRESET_SETTINGS: dict[str, dict[str, Any]] = {
    "nano": {
        "coder": CoderSettings(),
        "codec": CodecSettings(),
        "vocoder": VocoderSettings(),
        "listener": ListenerSettings(),
        "encoder": EncoderSettings(),
        "lm": LMSettings(),
        "finetune": FinetuneSettings(),
    },
    "tiny": {
        "coder": CoderSettings(
            TINY_CODEC, "tiny", width=32, reader=16, seconds=3, rate=3e-3, warm_up=5, plain=4, log_every=5
        ),
        "codec": CodecSettings(
            frames=8,
            batch=4,
            rate=2e-3,
            warm_up=5,
            windows=(256, 128),
            disc_filters=4,
            disc_frames=4,
            disc_batch=2,
            log_every=5,
        ),
        "vocoder": VocoderSettings(
            sizes=SourceFilterConfig(48, 64, 1, 1),
            frames=4,
            batch=4,
            rate=2e-3,
            warm_up=5,
            adversarial_from=0.5,
            windows=(256, 128),
            disc_filters=4,
            disc_frames=4,
            disc_batch=2,
            log_every=5,
        ),
        "listener": ListenerSettings(width=16, blocks=1, seconds=3, warm_up=5, log_every=5),
        "encoder": EncoderSettings(frames=4, batch=4, rate=1e-3, warm_up=5, log_every=5),
        "lm": LMSettings(
            TINY_MODEL,
            tokens=512,
            rate=3e-3,
            warm_up=5,
            dropout=0.0,
            ema=0.0,
            unseen=0.0,
            anonymous=0.15,
            segments=(0.75, 0.18, 0.07),
            same_voice=0.5,
            validate_every=20,
            log_every=10,
        ),
        "finetune": FinetuneSettings(tokens=512, rate=1e-3, warm_up=2, validate_every=10, log_every=5),
    },
}


def settings(kind: str, preset: str = "nano", config: str | Path | None = None) -> Any:
    """The settings of a ``kind`` of training: a preset, with what the JSON file ``config`` says in place of its own."""
    if preset not in PRESET_SETTINGS:
        raise MisoError(
            f"There is no preset '{preset}'.", f"Use one of: {', '.join(PRESET_SETTINGS)}.", input="preset"
        )
    base = PRESET_SETTINGS[preset][kind]
    if config is None:
        return base
    try:
        return _changed(base, json.loads(Path(config).read_text()))
    except (OSError, ValueError, TypeError) as e:
        if isinstance(e, MisoError):
            raise
        raise MisoError(
            f"{config} can't be read as settings ({e}).",
            "It must be JSON, as `record.json` of a run has it under settings.",
            input="config",
        ) from e


def _changed(base: Settings, changes: dict) -> Settings:
    known = {f.name for f in fields(base)}
    if unknown := set(changes) - known:
        raise MisoError(
            f"There are no settings {', '.join(sorted(unknown))}.",
            f"Known are: {', '.join(sorted(known))}.",
            input="config",
        )
    return replace(base, **{k: _value(getattr(base, k), v) for k, v in changes.items()})


def _value(old: Any, new: Any) -> Any:
    if is_dataclass(old):
        return _changed(old, new)
    return tuple(new) if isinstance(old, tuple) else new


def as_record(settings: Any) -> dict:
    """Settings as plain values, for the record of a run."""
    return json.loads(json.dumps(asdict(settings)))
