"""The interface of vocoders, and the checks of codes and audio before they are used."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..codes.retired import other_codec
from ..errors import MisoError
from ..progress import Progress


class Vocoder(ABC):
    """Turns codes into audio; a vocoder that also encodes is a codec.

    Inputs may be on any device; results are on the CPU. A subclass sets the attributes and implements
    ``_decode``, and ``_stream`` and ``_encode`` if it can.
    """

    name: str  # of the backend
    codec: str  # id of the codec whose codes it decodes; codes of two codecs can have the same shape
    sample_rate: int  # Hz
    frame_rate: float  # frames per second
    frame_size: int  # samples per frame
    codebooks: int  # at most; fewer give coarser audio
    least_codebooks: int = 1
    codebook_size: int
    exact_streaming: bool = False  # a stream gives the samples of ``decode``, at any length and chunk size
    look_ahead: int = 0  # samples that a stream holds back until it gets more frames, or is flushed
    can_encode: bool = False
    notice: str = ""  # what a user must know of the weights, such as terms of their licence
    module: nn.Module  # all weights; may be moved to another device between calls, but not during a stream

    def decode(self, codes: Tensor, progress: Progress | None = None) -> Tensor:
        """Codes [B, K, T], ``least_codebooks`` <= K <= ``codebooks`` -> fp32 samples [B, 1, T * frame_size].

        Raises MisoError if this vocoder can't decode the codes (see ``check_codes``). It can't check their
        codec id; ``decode_codes`` does.
        """
        check_codes(self, codes)
        return self._decode(codes, progress)

    def stream(self, batch: int = 1) -> Stream:
        """A new stream with its own state for ``batch`` takes. Raises MisoError if the backend can't."""
        return self._stream(batch)

    def encode(self, wave: Tensor, codebooks: int | None = None) -> Tensor:
        """fp32 samples [B, 1, N] at ``sample_rate`` -> codes [B, ``codebooks``, ceil(N / frame_size)].

        Raises MisoError if there is no encoder, or the wave has another shape, is empty or not finite.
        """
        check_wave(self, wave, codebooks)
        return self._encode(wave, codebooks or self.codebooks)

    @abstractmethod
    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor: ...

    def _decode_by_stream(self, codes: Tensor, chunk: int, progress: Progress | None) -> Tensor:
        """What ``_decode`` returns, by a stream that gets ``chunk`` frames at a time."""
        stream, parts, frames = self._stream(len(codes)), [], codes.shape[2]
        for first in range(0, frames, chunk):
            if progress:
                progress(first, frames)
            parts.append(stream.push(codes[:, :, first : first + chunk]))
        if progress:
            progress(frames, frames)
        return torch.cat((*parts, stream.flush()), 2)

    def _stream(self, batch: int) -> Stream:
        raise MisoError(
            f"The backend '{self.name}' can't decode a stream: choose 'mimi' to listen while it speaks.",
        )

    def _encode(self, wave: Tensor, codebooks: int) -> Tensor:
        raise MisoError(
            "This vocoder can't encode, only decode: choose nano-codec for nano, mimi for Miso 8B and CSM.",
        )


class Stream(ABC):
    """Decodes a few frames at a time; the results of ``push`` and ``flush``, joined, are the waveform."""

    def __init__(self, vocoder: Vocoder, batch: int):
        self.vocoder, self.batch = vocoder, batch

    def push(self, codes: Tensor) -> Tensor:
        """The next frames [B, K, t] -> fp32 samples [B, 1, n]; without look-ahead n = t * frame_size."""
        check_codes(self.vocoder, codes)
        if codes.shape[0] != self.batch:
            raise MisoError(
                f"This stream has {self.batch} takes; the codes have {codes.shape[0]}.",
                "Open the stream with that number of takes.",
            )
        return self._push(codes)

    def flush(self) -> Tensor:
        """The last samples [B, 1, m], which look-ahead held back. The next push begins a new waveform.

        Without this, a vocoder with look-ahead would cut the end of speech. Mimi has no look-ahead: each
        frame gives its 1920 samples at once, and m is 0. (Published players of these codes lose the last
        frame, 80 ms.)
        """
        return torch.zeros(self.batch, 1, 0)

    @abstractmethod
    def _push(self, codes: Tensor) -> Tensor: ...


def check_codes(
    vocoder: Vocoder, codes: Tensor, codec: str | None = None, frame_rate: float | None = None
) -> None:
    """Raise MisoError unless ``codes`` are integers [B, K, T] that ``vocoder`` can decode.

    ``codec`` and ``frame_rate``: codec id and frame rate of the codes; None if the caller doesn't know them.
    """
    if codec is not None and codec != vocoder.codec:
        told = other_codec(
            codec,
            f"this vocoder decodes '{vocoder.codec}'",
            f"Load another vocoder: these codes belong to the codec '{codec}', but this one decodes "
            f"'{vocoder.codec}', where they mean other sounds.",
            "nano-vocoder and nano-codec are for nano, mimi is for Miso 8B and CSM.",
        )
        raise MisoError(*told)
    if frame_rate is not None and abs(frame_rate - vocoder.frame_rate) > 1e-6:
        raise MisoError(
            f"Load the vocoder that these codes were made for: they have {frame_rate:g} frames a second, "
            f"'{vocoder.codec}' has {vocoder.frame_rate:g}.",
        )
    if codes.dim() != 3 or 0 in codes.shape:
        raise MisoError(
            "Codes must have the shape [takes, codebooks, frames], none of them 0; these have "
            f"{list(codes.shape)}."
        )
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise MisoError(f"Codes must be integers; these are {str(codes.dtype).removeprefix('torch.')}.")
    if codes.shape[1] > vocoder.codebooks:
        raise MisoError(
            f"Keep the first {vocoder.codebooks} codebooks (Keep Codebooks), or load another vocoder: these "
            f"codes have {codes.shape[1]} codebooks, '{vocoder.codec}' at most {vocoder.codebooks}.",
        )
    if codes.shape[1] < vocoder.least_codebooks:
        raise MisoError(
            f"This vocoder ('{vocoder.name}') needs {vocoder.least_codebooks} codebooks; these codes have "
            f"{codes.shape[1]}.",
            "Fill them up (Depth Redecode), or load a vocoder that decodes any number, such as mimi.",
        )
    low, high = (int(x) for x in codes.aminmax())
    if low < 0 or high >= vocoder.codebook_size:
        bad = (codes < 0) | (codes >= vocoder.codebook_size)
        take, codebook, frame = bad.nonzero()[0].tolist()
        bad_id = codes[take, codebook, frame]
        raise MisoError(
            f"Take {take + 1}, codebook {codebook}, frame {frame} (counted from 0) holds the id "
            f"{int(bad_id)}; ids of '{vocoder.codec}' are 0 to {vocoder.codebook_size - 1}.",
            "It is a special token of a model, or the codes are damaged. Sample again, or edit that frame.",
        )


def check_wave(vocoder: Vocoder, wave: Tensor, codebooks: int | None) -> None:
    """Raise MisoError unless ``wave`` is audio [B, 1, N] that can be encoded into ``codebooks`` codebooks."""
    if codebooks is not None and not 1 <= codebooks <= vocoder.codebooks:
        raise MisoError(
            f"'{vocoder.codec}' has 1 to {vocoder.codebooks} codebooks, not {codebooks}.", input="codebooks"
        )
    if wave.dim() != 3 or wave.shape[1] != 1 or not wave.is_floating_point():
        raise MisoError(
            f"Audio to encode must be mono floats [takes, 1, samples], not {wave.dtype} {list(wave.shape)}.",
            "Mix it down to one channel first.",
        )
    if 0 in wave.shape:
        raise MisoError("There is no audio to encode: it has no samples.")
    if not wave.isfinite().all():
        raise MisoError(
            "The audio to encode contains values that are not numbers (NaN or infinity).",
            "Create or load it again.",
        )
