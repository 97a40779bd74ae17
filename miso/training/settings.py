"""Settings of each step of training, with their reasons. The defaults train ``nano``."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.config import PRESETS, ModelConfig
from ..vocoders.mimi.config import MimiConfig
from ..vocoders.source_filter import SourceFilterConfig
from .spectral import SCALES

# 24 filters and 2 + 2 layers take a CPU core 0.05 s per second of speech; 8 codebooks of 2048 are 1100 bit/s
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
    """Settings of the mel coder."""

    sizes: MimiConfig = NANO_CODEC  # of the codec that will have these codes
    codec: str = "nano-2"  # codec id
    width: int = 384
    reader: int = 128  # width of the content head
    seconds: float = 80.0  # of speech per batch
    rate: float = 1.5e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 100
    clip: float = 5.0  # of the gradient's norm
    # first steps without quantizing: codebooks initialised from an untrained encoder would follow its drift
    plain: int = 200
    ema: float = 0.99  # decay of a codebook's sums and counts
    dead: float = 0.05  # entries used less than this share of the average are restarted from the batch
    dropped: float = 0.25  # share of clips quantized by only the first n codebooks, with a random n for each
    # share of clips that is not quantized; Moshi (arXiv 2410.00037, 3.3.2) uses a half
    bypassed: float = 0.3
    # weights of the losses beside the spectral one
    commitment: float = 0.15
    content: float = 0.1
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class SoundSettings:
    """Settings common to all steps that train on sound."""

    frames: int = 16  # per crop: 1.28 s
    batch: int = 32
    rate: float = 8e-4
    betas: tuple[float, float] = (0.8, 0.97)
    warm_up: int = 100
    clip: float = 3.0  # of the gradient's norm, of each half of a codec
    dropped: float = 0.2  # share of steps with only the first n codebooks, with a random n for each
    scales: tuple[tuple[int, int], ...] = SCALES  # of the spectral distance
    # weight of the listener's distance, if there is a listener, relative to the gradient of the mel loss
    heard: float = 2.0
    # weights of the discriminators' losses, relative to the gradient of the mel loss
    adversarial: float = 0.2
    features: float = 0.5
    adversarial_from: float = 0.5  # share of the budget with the mel loss alone
    windows: tuple[int, ...] = (1024, 512, 256)
    disc_filters: int = 32
    disc_frames: int = 12  # per crop, at a random place: more take most of a step's time and help little
    disc_batch: int = 32
    disc_rate: float = 3e-4
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class CodecSettings(SoundSettings):
    """Settings of the codec: those of all steps that train on sound."""


@dataclass(frozen=True)
class VocoderSettings(SoundSettings):
    """Settings of the vocoder: small batches and discriminators, because it needs many steps."""

    sizes: SourceFilterConfig = SourceFilterConfig()
    batch: int = 16
    rate: float = 1.2e-3
    scales: tuple[tuple[int, int], ...] = SCALES[3:]
    pitch: float = 0.5  # weight of the pitch error, in octaves
    # large, because the mel loss alone gives an average of all sounds that fit the codes
    adversarial: float = 2.0
    features: float = 2.0
    adversarial_from: float = 0.3
    windows: tuple[int, ...] = (1024, 512, 256, 128, 64)  # the shortest resolve single pitch periods
    disc_filters: int = 16
    disc_frames: int = 6
    disc_batch: int = 8
    disc_rate: float = 1e-3


@dataclass(frozen=True)
class EncoderSettings(SoundSettings):
    """Settings of the encoder: no discriminators, because it can't make the vocoder more natural."""

    paths: int = 8  # of the codec's search for codes
    frames: int = 24
    batch: int = 64
    rate: float = 2e-4
    clip: float = 1.0
    scales: tuple[tuple[int, int], ...] = SCALES[3:]
    pitch: float = 0.5  # weight of the pitch error, in octaves
    commitment: float = 0.5  # with 0.1, latents drifted away from the codebooks within 1000 steps
    dropped: float = 0.1
    adversarial_from: float = 1.0
    # id of a new codec: codebooks and vocoder are trained as well, so that the codes become others. Empty:
    # only the encoder is trained, and codes keep their meaning
    codec: str = ""
    augmented: bool = False  # train on speech of other speeds, levels and rooms, and with noise
    # of the codebooks of a new codec, as in ``CoderSettings``
    ema: float = 0.99
    dead: float = 0.05
    fixed_from: float = 0.85  # share of the budget after which the codebooks stay as they are


@dataclass(frozen=True)
class ListenerSettings:
    """Settings of the listener."""

    width: int = 256
    blocks: int = 6
    seconds: float = 60.0  # of speech per batch
    rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 100
    clip: float = 2.0  # of the gradient's norm
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class LMSettings:
    """Settings of the language model."""

    sizes: ModelConfig = PRESETS["nano"]
    tokens: int = 12_288  # rows per batch: about 150 utterances
    rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.95)
    decay: float = 0.1
    muon: bool = True  # for the layers' matrices; AdamW for the others
    warm_up: int = 100
    clip: float = 1.0  # of the gradient's norm
    dropout: float = 0.15
    ema: float = 0.998  # decay of the average of weights that is saved; 0 for none
    picked: float = 0.25  # share of frames on which the depth decoder is trained
    no_text: float = 0.02  # share of segments without text, for guidance
    letters: float = 0.1  # share of segments read as letters by a model that reads phonemes
    # share of input frames that are hidden, so that the model relies on the text (Bowman et al. 2016,
    # arXiv 1511.06349)
    unseen: float = 0.25
    # share of conversations whose speakers get unused numbers, so that voices are learnt from their sound
    anonymous: float = 0.3
    segments: tuple[float, ...] = (0.6, 0.28, 0.12)  # shares of conversations of 1, 2, 3 segments
    same_voice: float = 0.6  # share of conversations of a single voice
    joined: float = 0.0  # share of these that become a single line of several sentences
    keep_best: bool = True  # save the weights with the lowest validation loss instead of the last
    validate_every: int = 500
    log_every: int = 50
    save_every: float = 2.0  # minutes


@dataclass(frozen=True)
class FinetuneSettings(LMSettings):
    """Settings of fine-tuning. ``sizes`` is not used: they are the checkpoint's."""

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
