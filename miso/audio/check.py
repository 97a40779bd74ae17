"""Checks of a recording before it is encoded: whether it is sound at all, and whether it is good speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MisoError
from ..limits import MAX_RATE

LOW_RATE = 16_000  # Hz; below it, s and f can't be told apart
QUIET = 0.03  # of full scale: a peak of -30 dB
CLIPPED = 0.001  # fraction of samples at the limit that is heard as distortion
PAUSE = 2.0  # seconds without speech that are not a pause any more
SILENT = 0.01  # of the loudest: -40 dB
_WINDOW = 0.02  # seconds
_BANDS = (100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700)  # Hz
_LEAST = 0.5  # seconds to judge whether it is speech
# Standard deviations in dB. Clear speech has 9 and 8, speech in noise of -10 dB 4.7 and 5.9; noise has 2.2
# and 2.3, a tone 0 and 1, beeps 18 and 5.
_LEVEL_VARIES, _SPECTRUM_VARIES = 3.0, 5.5


def as_wave(audio: Any) -> tuple[Tensor, int]:
    """The waveform [B, C, N] in float32 and the rate of a ComfyUI AUDIO value.

    Whole numbers and waves of fewer dimensions are converted. Raises MisoError for anything else.
    """
    if audio is None:
        raise MisoError("There is no sound. If it comes from a video, that has none: choose a recording.")
    if not isinstance(audio, Mapping) or "waveform" not in audio:
        raise _unusable(f"it is of the type {type(audio).__name__}, without a waveform")
    rate = audio.get("sample_rate")
    if isinstance(rate, Tensor) and rate.numel() == 1:
        rate = rate.item()
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 1 <= rate <= MAX_RATE:
        raise _unusable("it has no sample rate" if rate is None else f"its sample rate is {rate!r}")
    return _as_float(audio["waveform"]), round(rate)


def _as_float(wave: Any) -> Tensor:
    try:
        wave = torch.as_tensor(wave).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise _unusable(f"its waveform is of the type {type(wave).__name__}") from None
    if wave.dim() not in (1, 2, 3) or wave.dtype == torch.bool or wave.is_complex():
        raise _unusable(f"its waveform is {wave.dtype} of the shape {list(wave.shape)}")
    if not wave.is_floating_point():
        zero = 128 if wave.dtype == torch.uint8 else 0
        wave = (wave.double() - zero) / (128 if zero else -float(torch.iinfo(wave.dtype).min))
    wave = wave.float()[(None,) * (3 - wave.dim())]
    if 0 in wave.shape:
        raise MisoError("The recording is empty. Choose another.")
    if not wave.isfinite().all():
        raise _unusable("it contains values that are not numbers")
    return wave


def _unusable(why: str) -> MisoError:
    return MisoError(f"Connect sound from Load Audio: this is no sound, because {why}.")


def remarks(wave: Tensor, sample_rate: int) -> list[str]:
    """What a listener would find odd about a mono recording [N], in words; nothing is changed."""
    peak = float(wave.abs().max())
    if peak < 1e-4:
        return ["It is silent."]
    found = []
    if sample_rate < LOW_RATE:
        found.append(f"{sample_rate / 1000:g} kHz is a telephone's quality: record at 24 kHz or more.")
    if peak < QUIET:
        found.append("It is very quiet: record it louder.")
    if _clipped(wave, peak) > CLIPPED:
        found.append("It is clipped, so it will sound rough: record it less loud.")
    levels = _levels(wave, sample_rate)
    if silence := _silence(levels):
        found.append(silence)
    if len(wave) >= _LEAST * sample_rate and not is_speech(wave, sample_rate):
        found.append("This doesn't sound like speech.")
    return found


def background(wave: Tensor, sample_rate: int) -> float:
    """How many dB the quietest tenth of a mono wave [N] is below its loudest, over windows of 20 ms.

    In speech with pauses that is the level of the noise.
    """
    level = _decibels(_levels(wave, sample_rate).square())
    return float(level.quantile(0.9) - level.quantile(0.1))


def is_speech(wave: Tensor, sample_rate: int) -> bool:
    """Whether level and spectrum of a mono wave [N] change as those of speech do.

    Tones, noise, hum and beeps don't; music may.
    """
    hop = max(1, round(_WINDOW * sample_rate))
    window = torch.hann_window(2 * hop)
    power = torch.stft(wave.float(), 2 * hop, hop, window=window, return_complex=True).abs().square()
    frequencies = torch.arange(hop + 1) * sample_rate / (2 * hop)
    edges = zip(_BANDS, _BANDS[1:])
    bands = torch.stack([power[(frequencies >= low) & (frequencies < high)].sum(0) for low, high in edges])
    total = power.sum(0)
    level = _decibels(total)
    heard = total > SILENT**2 * total.max()
    if heard.sum() < 2:
        return False
    shape = _decibels(bands / bands.sum(0).clamp_min(1e-12), 1e-4)[:, heard]
    loudness = F.avg_pool1d(level.clamp_min(float(level.max()) - 40)[None], 3, 1, 1, count_include_pad=False)
    return bool(loudness.std() > _LEVEL_VARIES and shape.std(1).mean() > _SPECTRUM_VARIES)


def _decibels(power: Tensor, floor: float = 1e-12) -> Tensor:
    return 10 * power.clamp_min(floor).log10()


def _levels(wave: Tensor, sample_rate: int) -> Tensor:
    """Root mean square of each window of 20 ms."""
    size = max(1, round(_WINDOW * sample_rate))
    padded = F.pad(wave.float(), (0, -len(wave) % size))
    return padded.reshape(-1, size).square().mean(1).sqrt()


def _clipped(wave: Tensor, peak: float) -> float:
    """The fraction of samples within runs of three or more at the same, highest value."""
    if peak < 0.5:
        return 0.0
    flat = (wave.abs() >= 0.999 * peak).float()
    return float((F.avg_pool1d(flat[None], 3, 1) == 1).float().mean())


def _silence(levels: Tensor) -> str:
    """A remark about silence longer than a pause; "" if there is none."""
    heard = (levels > SILENT * levels.max()).nonzero().flatten().tolist()
    places = [-1, *heard, len(levels)]
    gaps = [(end - start - 1) * _WINDOW for start, end in zip(places, places[1:])]
    longest = max(gaps)
    if longest <= PAUSE:
        return ""
    where = "at the beginning" if longest == gaps[0] else "at the end" if longest == gaps[-1] else "in it"
    return f"There are {longest:.1f} s of silence {where}: cut them off."
