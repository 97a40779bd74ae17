"""A recording made fit to be a voice prompt, and what was done to it in words."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import MisoError, missing_package
from .check import background, remarks
from .loudness import to_loudness
from .quiet import quiet_place
from .trim import cut_out, trim_silence

CEILING = -1.0  # dBTP
SHORTEST = 3.0  # seconds, below which a voice is hardly known by it
NOISY = 25.0  # dB between speech and noise, below which a model copies the noise too


class Prepared(NamedTuple):
    wave: Tensor  # [N]
    done: list[str]  # sentences: what was done, then what is wrong with the result


def prepare(
    wave: Tensor,
    rate: int,
    *,
    seconds: float = 12.0,
    lufs: float = -20.0,
    denoise: float = 0.0,
    trim: bool = True,
) -> Prepared:
    """A mono wave [N], without silence at its ends, not longer than ``seconds``, at a loudness.

    ``denoise`` is the share of the noise to be taken away, 0 to 1 (see ``reduce_noise``). 0 for ``seconds``
    or ``lufs`` leaves the length or the loudness as it is. Every change is named in ``done``. Raises
    MisoError if a setting is out of range, or a package that it needs is missing.
    """
    if not (0 <= seconds < math.inf):
        raise MisoError(f"seconds is {seconds:g}.", "Use 0 or more; 5 to 15 is usual.", input="seconds")
    done = []
    if denoise:
        before = background(wave, rate)
        wave = reduce_noise(wave, rate, denoise)
        done.append(f"Noise reduced from {before:.0f} to {background(wave, rate):.0f} dB below the speech.")
    if trim:
        trimmed = trim_silence(wave[None, None], rate)[0, 0]
        if cut := (len(wave) - len(trimmed)) / rate:
            done.append(f"{cut:.2f} s of silence cut off.")
        wave = trimmed
    if seconds and len(wave) > (longest := round(seconds * rate)):
        end = quiet_place(wave[None], rate, longest * 2 // 3, longest)
        done.append(f"Cut at {end / rate:.1f} s, in a pause, of {len(wave) / rate:.1f} s.")
        wave = cut_out(wave, rate, 0, min(end, longest))
    wrong = _wrong(wave, rate)  # before the loudness hides it
    if lufs:
        louder, level = to_loudness(wave[None], rate, lufs, CEILING)
        if len(wave) and (peak := float(wave.abs().max())):
            gain = 20 * math.log10(float(louder.abs().max()) / peak)
            done.append(f"{gain:+.1f} dB, to {level.loudness:.1f} LUFS.")
        wave = louder[0]
    return Prepared(wave, [*(done or ["Nothing was changed."]), *wrong])


def reduce_noise(wave: Tensor, rate: int, share: float) -> Tensor:
    """A mono wave [N] with this share of its noise taken away, by noisereduce's spectral gating.

    Raises MisoError if the package is missing, or the share is out of range.
    """
    if not 0 <= share <= 1:
        raise MisoError(f"denoise is {share:g}.", "Use 0 to 1.", input="denoise")
    try:
        from noisereduce import reduce_noise as gate
    except ImportError:
        raise missing_package("noisereduce", "Taking noise away") from None
    quieter = gate(y=wave.double().numpy(), sr=rate, prop_decrease=share)
    return torch.from_numpy(quieter.copy()).to(wave)


def _wrong(wave: Tensor, rate: int) -> list[str]:
    found = remarks(wave, rate)
    if (seconds := len(wave) / rate) < SHORTEST:
        found.append(f"Only {seconds:.1f} s: a voice needs 5 to 15.")
    elif (noise := background(wave, rate)) < NOISY:
        found.append(f"Noisy: the background is only {noise:.0f} dB below the speech. Raise denoise.")
    return found
