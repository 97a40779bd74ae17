"""The one check of codes before any backend, in words. Without it: an IndexError, a dead CUDA context, or silently wrong sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MisoError

if TYPE_CHECKING:
    from torch import Tensor

    from .base import Vocoder


def check_codes(vocoder: Vocoder, codes: Tensor, codec: str | None = None, frame_rate: float | None = None) -> None:
    """Raise MisoError unless ``codes`` are integers [B, K, T] that ``vocoder`` can decode; it names the first that is not.

    ``codec`` is the id of the codec the codes belong to and ``frame_rate`` theirs; None where the caller has no way to know.
    """
    if codec is not None and codec != vocoder.codec:
        raise MisoError(f"These codes belong to the codec '{codec}', but this vocoder decodes '{vocoder.codec}': "
                        "to it the same numbers are other sounds.",
                        f"Load a vocoder checkpoint of '{codec}', or make the codes with a model or encoder of '{vocoder.codec}'.")
    if frame_rate is not None and abs(frame_rate - vocoder.frame_rate) > 1e-6:
        raise MisoError(f"These codes run at {frame_rate:g} frames a second, but '{vocoder.codec}' at {vocoder.frame_rate:g}.",
                        "Load the vocoder these codes were made for.")
    import torch

    if codes.dim() != 3 or 0 in codes.shape:
        raise MisoError(f"Codes must be of the shape [takes, codebooks, frames], none of them 0; these are {list(codes.shape)}.")
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise MisoError(f"Codes must be integers; these are {str(codes.dtype).removeprefix('torch.')}.")
    if codes.shape[1] > vocoder.codebooks:
        raise MisoError(f"These codes have {codes.shape[1]} codebooks; '{vocoder.codec}' decodes at most {vocoder.codebooks}.",
                        f"Keep the first {vocoder.codebooks}, or load another vocoder.")
    low, high = (int(x) for x in codes.aminmax())
    if low < 0 or high >= vocoder.codebook_size:
        bad = (codes < 0) | (codes >= vocoder.codebook_size)
        take, codebook, frame = bad.nonzero()[0].tolist()
        raise MisoError(f"Take {take}, codebook {codebook}, frame {frame} (all counted from 0) holds the id "
                        f"{int(codes[take, codebook, frame])}; ids of '{vocoder.codec}' are 0 to {vocoder.codebook_size - 1}.",
                        "Such ids come from marks that a model adds, or from damaged codes: sample again, or edit that frame.")


def check_wave(vocoder: Vocoder, wave: Tensor, codebooks: int | None) -> None:
    """Raise MisoError unless ``wave`` is sound [B, 1, N] that can be encoded into ``codebooks`` codebooks."""
    if codebooks is not None and not 1 <= codebooks <= vocoder.codebooks:
        raise MisoError(f"'{vocoder.codec}' has 1 to {vocoder.codebooks} codebooks, not {codebooks}.", input="codebooks")
    if wave.dim() != 3 or wave.shape[1] != 1 or not wave.is_floating_point():
        raise MisoError(f"Sound to encode must be mono floats [takes, 1, samples]; this is {wave.dtype} {list(wave.shape)}.",
                        "Mix it down to one channel first.")
    if 0 in wave.shape:
        raise MisoError("There is no sound to encode: it has no samples.")
    if not wave.isfinite().all():
        raise MisoError("The sound to encode holds values that are not numbers (NaN or infinity).", "Make or load it again.")
