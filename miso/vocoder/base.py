"""What every vocoder is and does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import MisoError
from .check import check_codes, check_wave

if TYPE_CHECKING:
    from torch import Tensor, nn

Progress = Callable[[int, int], None]  # frames done, frames in all; called between chunks, may raise to stop


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
    exact_streaming: bool = False  # a stream gives the samples that ``decode`` gives, at any length and chunk size
    look_ahead: int = 0  # samples that a stream holds back until it has seen more, or is flushed
    can_encode: bool = False
    module: nn.Module  # all its weights; whoever manages memory may move it between calls (not within an open stream)

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
        raise MisoError(f"The vocoder backend '{self.name}' can't decode a stream: it carries no state from call to call.",
                        "Use the backend 'mimi' to hear codes while they are made.")

    def _encode(self, wave: Tensor, codebooks: int) -> Tensor:
        raise MisoError(f"The vocoder '{self.name}' can't encode: it turns codes into sound only.",
                        "Load a codec with an encoder, such as Mimi.")


class Stream(ABC):
    """Codes in, sound out, a few frames at a time. What ``push`` and ``flush`` return, put together, is the whole sound."""

    def __init__(self, vocoder: Vocoder, batch: int):
        self.vocoder, self.batch = vocoder, batch

    def push(self, codes: Tensor) -> Tensor:
        """The next frames [B, K, t] -> fp32 samples [B, 1, n] that they settle; n = t * frame_size with no look-ahead."""
        check_codes(self.vocoder, codes)
        if codes.shape[0] != self.batch:
            raise MisoError(f"This stream is of {self.batch} takes; the codes pushed are of {codes.shape[0]}.",
                            "Open the stream with the number of takes.")
        return self._push(codes)

    def flush(self) -> Tensor:
        """The end of the sound: the samples [B, 1, m] that look-ahead held back. Another push then begins a new sound.

        A vocoder with look-ahead would chop the end of speech without this. Mimi has none: it is causal, each frame's 1920
        samples leave with their frame, and m is 0. (Published players of these codes chop 80 ms by losing the last frame.)
        """
        import torch

        return torch.zeros(self.batch, 1, 0)

    @abstractmethod
    def _push(self, codes: Tensor) -> Tensor: ...
