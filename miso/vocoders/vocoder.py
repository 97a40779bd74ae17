"""What every vocoder is and does, and the one check of codes and sound before any of them computes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..errors import MisoError
from ..progress import Progress


class Vocoder(ABC):
    """Turns codes into sound; one that also encodes is a codec.

    Tensors may be handed in on any device; results are on the CPU. A subclass sets the attributes and writes ``_decode``, and
    ``_stream`` and ``_encode`` where it can.
    """

    name: str  # of the backend
    codec: str  # id of the codec whose codes it takes: shape can't tell one codec's codes from another's
    sample_rate: int  # Hz
    frame_rate: float  # frames a second
    frame_size: int  # samples a frame
    codebooks: int  # at most; fewer give coarser sound
    codebook_size: int
    exact_streaming: bool = (
        False  # a stream gives the samples that ``decode`` gives, at any length and chunk size
    )
    look_ahead: int = 0  # samples that a stream holds back until it has seen more, or is flushed
    can_encode: bool = False
    module: (
        nn.Module
    )  # all its weights; whoever manages memory may move it between calls (not within an open stream)

    def decode(self, codes: Tensor, progress: Progress | None = None) -> Tensor:
        """Codes [B, K, T], 1 <= K <= ``codebooks`` -> fp32 samples [B, 1, T * frame_size].

        Raises MisoError on codes this vocoder can't take (see ``check_codes``; it can't know their codec: ``decode_codes`` does).
        """
        check_codes(self, codes)
        return self._decode(codes, progress)

    def stream(self, batch: int = 1) -> Stream:
        """A new stream for ``batch`` takes in step, with a state of its own. Raises MisoError where the backend can't."""
        return self._stream(batch)

    def encode(self, wave: Tensor, codebooks: int | None = None) -> Tensor:
        """fp32 samples [B, 1, N] at ``sample_rate`` -> codes [B, K, ceil(N / frame_size)], the first ``codebooks`` of all.

        Raises MisoError without an encoder, and on a wave of another shape, empty or not finite.
        """
        check_wave(self, wave, codebooks)
        return self._encode(wave, codebooks or self.codebooks)

    @abstractmethod
    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor: ...

    def _stream(self, batch: int) -> Stream:
        raise MisoError(
            f"The vocoder backend '{self.name}' can't decode a stream: it carries no state from call to call.",
            "Use the backend 'mimi' to hear codes while they are made.",
        )

    def _encode(self, wave: Tensor, codebooks: int) -> Tensor:
        raise MisoError(
            f"The vocoder '{self.name}' can't encode: it turns codes into sound only.",
            "Load a codec with an encoder, such as Mimi.",
        )


class Stream(ABC):
    """Codes in, sound out, a few frames at a time. What ``push`` and ``flush`` return, put together, is the whole sound."""

    def __init__(self, vocoder: Vocoder, batch: int):
        self.vocoder, self.batch = vocoder, batch

    def push(self, codes: Tensor) -> Tensor:
        """The next frames [B, K, t] -> fp32 samples [B, 1, n] that they settle; n = t * frame_size with no look-ahead."""
        check_codes(self.vocoder, codes)
        if codes.shape[0] != self.batch:
            raise MisoError(
                f"This stream is of {self.batch} takes; the codes pushed are of {codes.shape[0]}.",
                "Open the stream with the number of takes.",
            )
        return self._push(codes)

    def flush(self) -> Tensor:
        """The end of the sound: the samples [B, 1, m] that look-ahead held back. Another push then begins a new sound.

        A vocoder with look-ahead would chop the end of speech without this. Mimi has none: it is causal, each frame's 1920
        samples leave with their frame, and m is 0. (Published players of these codes chop 80 ms by losing the last frame.)
        """
        return torch.zeros(self.batch, 1, 0)

    @abstractmethod
    def _push(self, codes: Tensor) -> Tensor: ...


def check_codes(
    vocoder: Vocoder, codes: Tensor, codec: str | None = None, frame_rate: float | None = None
) -> None:
    """Raise MisoError unless ``codes`` are integers [B, K, T] that ``vocoder`` can decode; it names the first that is not.

    ``codec`` is the id of the codec the codes belong to and ``frame_rate`` theirs; None where the caller has no way to know.
    """
    if codec is not None and codec != vocoder.codec:
        raise MisoError(
            f"These codes belong to the codec '{codec}', but this vocoder decodes '{vocoder.codec}': "
            "to it the same numbers are other sounds.",
            f"Load a vocoder checkpoint of '{codec}', or make the codes with a model or encoder of '{vocoder.codec}'.",
        )
    if frame_rate is not None and abs(frame_rate - vocoder.frame_rate) > 1e-6:
        raise MisoError(
            f"These codes run at {frame_rate:g} frames a second, but '{vocoder.codec}' at {vocoder.frame_rate:g}.",
            "Load the vocoder these codes were made for.",
        )
    if codes.dim() != 3 or 0 in codes.shape:
        raise MisoError(
            f"Codes must be of the shape [takes, codebooks, frames], none of them 0; these are {list(codes.shape)}."
        )
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise MisoError(f"Codes must be integers; these are {str(codes.dtype).removeprefix('torch.')}.")
    if codes.shape[1] > vocoder.codebooks:
        raise MisoError(
            f"These codes have {codes.shape[1]} codebooks; '{vocoder.codec}' decodes at most {vocoder.codebooks}.",
            f"Keep the first {vocoder.codebooks}, or load another vocoder.",
        )
    low, high = (int(x) for x in codes.aminmax())
    if low < 0 or high >= vocoder.codebook_size:
        bad = (codes < 0) | (codes >= vocoder.codebook_size)
        take, codebook, frame = bad.nonzero()[0].tolist()
        raise MisoError(
            f"Take {take}, codebook {codebook}, frame {frame} (all counted from 0) holds the id "
            f"{int(codes[take, codebook, frame])}; ids of '{vocoder.codec}' are 0 to {vocoder.codebook_size - 1}.",
            "Such ids come from marks that a model adds, or from damaged codes: sample again, or edit that frame.",
        )


def check_wave(vocoder: Vocoder, wave: Tensor, codebooks: int | None) -> None:
    """Raise MisoError unless ``wave`` is sound [B, 1, N] that can be encoded into ``codebooks`` codebooks."""
    if codebooks is not None and not 1 <= codebooks <= vocoder.codebooks:
        raise MisoError(
            f"'{vocoder.codec}' has 1 to {vocoder.codebooks} codebooks, not {codebooks}.", input="codebooks"
        )
    if wave.dim() != 3 or wave.shape[1] != 1 or not wave.is_floating_point():
        raise MisoError(
            f"Sound to encode must be mono floats [takes, 1, samples]; this is {wave.dtype} {list(wave.shape)}.",
            "Mix it down to one channel first.",
        )
    if 0 in wave.shape:
        raise MisoError("There is no sound to encode: it has no samples.")
    if not wave.isfinite().all():
        raise MisoError(
            "The sound to encode holds values that are not numbers (NaN or infinity).",
            "Make or load it again.",
        )
