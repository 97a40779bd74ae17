"""What the backbone is asked to continue: segments, made into prompt rows that fit its positions.

A row has K + 1 columns, the K codes of a frame and one text id, and a mask of the same shape that says which count.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..errors import MisoError
from ..model.config import ModelConfig
from .tokenizer import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segment:
    """Something said: text and speaker, and the codes of it, or none for the line to speak.

    A ``voice`` prompt is kept whatever the budget; other segments with codes are history, and the oldest is dropped first.
    """

    text: str
    speaker: int = 0
    codes: Codes | None = None
    voice: bool = False


@dataclass(frozen=True, eq=False)
class Prompt:
    """Rows [S, K+1] and their mask, ready for the backbone; ``dropped`` is the history that did not fit."""

    rows: Tensor
    mask: Tensor
    line: Segment
    dropped: tuple[Segment, ...] = ()


class TextEncoder:
    """Makes segments into rows, by the conventions of one model."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer):
        self.config, self.tokenizer = config, tokenizer

    def rows(self, segment: Segment) -> tuple[Tensor, Tensor]:
        """Rows and mask [S, K+1] of one segment: its text, then its frames and the all-zero frame that ends them."""
        text = self._text_rows(segment)
        return (
            text
            if segment.codes is None
            else tuple(torch.cat(p) for p in zip(text, self._audio_rows(segment.codes)))
        )

    def conditioning(self, segments: Iterable[Segment]) -> Conditioning:
        return Conditioning(self, tuple(segments))

    def _text_rows(self, segment: Segment) -> tuple[Tensor, Tensor]:
        conventions = self.config.conventions
        text = segment.text.lstrip() if conventions.strip else segment.text
        if not text.strip():
            raise MisoError("The text is empty.", "Write what is to be said.", input="text")
        if segment.speaker < 0:
            raise MisoError(f"speaker is {segment.speaker}.", "Use 0 or more.", input="speaker")
        ids = torch.tensor(
            self.tokenizer.encode(
                conventions.prompt.format(speaker=segment.speaker, text=self.tokenizer.spell(text))
            )
        )
        if int(ids.max()) >= self.config.text_vocab:
            raise MisoError(
                f"The tokenizer gives the id {int(ids.max())}, but the model knows only {self.config.text_vocab} text ids.",
                "Use the tokenizer that belongs to the checkpoint.",
            )
        rows = torch.zeros(len(ids), self.config.codebooks + 1, dtype=torch.int64)
        rows[:, -1] = ids
        mask = torch.zeros_like(rows, dtype=torch.bool)
        mask[:, -1] = True
        return rows, mask

    def _audio_rows(self, codes: Codes) -> tuple[Tensor, Tensor]:
        frames = frames_of_take(codes, self.config)
        end = torch.zeros(1, frames.shape[1], dtype=frames.dtype)
        return frame_rows(torch.cat((frames, end)), self.config.codebooks)


def frames_of_take(codes: Codes, config: ModelConfig, input: str = "codes") -> Tensor:
    """The frames [T, k] of codes holding one take of a model's codec; anything else is an error that says why."""
    codec = config.codec
    if codes.codec != codec:
        raise MisoError(
            f"The codes are of the codec '{codes.codec}', the model speaks '{codec}'.",
            "Encode the audio with a vocoder of the model's codec.",
            input=input,
        )
    if codes.batch != 1:
        raise MisoError(
            f"The codes hold {codes.batch} takes; one is wanted here.",
            "Put Pick Take in between.",
            input=input,
        )
    if codes.codebooks > config.codebooks:
        raise MisoError(
            f"The codes have {codes.codebooks} codebooks, the model {config.codebooks}.",
            f"Keep the first {config.codebooks} (Keep Codebooks).",
            input=input,
        )
    return codes.tensor[0, :, : int(codes.lengths[0])].T


def frame_rows(frames: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
    """Rows and mask [T, K+1] of frames [T, k <= K]: codes in, absent codebooks and text out."""
    rows = torch.zeros(len(frames), codebooks + 1, dtype=torch.int64)
    mask = torch.zeros_like(rows, dtype=torch.bool)
    rows[:, : frames.shape[1]] = frames
    mask[:, : frames.shape[1]] = True
    return rows, mask


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Segments in the order they were said, the last one the line to speak."""

    encoder: TextEncoder
    segments: tuple[Segment, ...]

    @property
    def line(self) -> Segment:
        return self.segments[-1]

    def with_segment(self, segment: Segment) -> Conditioning:
        """The same line after one more segment: a voice prompt goes before all history, history just before the line."""
        self.encoder.rows(segment)  # fails now, at the block that brought it
        *before, line = self.segments
        place = sum(s.voice for s in before) if segment.voice else len(before)
        before.insert(place, segment)
        return replace(self, segments=(*before, line))

    def said(self, codes: Codes | None) -> tuple[Segment, ...]:
        """The segments as history for the next line, this line with the codes it became; without them it is left out."""
        *before, line = self.segments
        return (*before, replace(line, codes=codes)) if codes is not None else tuple(before)

    def prompt(self, frames: int) -> Prompt:
        """The prompt rows, leaving room for ``frames`` more; drops the oldest history where there isn't, and says so.

        Raises MisoError with the arithmetic if the voice prompts and the line alone leave too little room.
        """
        positions = self.encoder.config.positions
        if self.line.codes is not None:
            raise MisoError(
                "The last segment has codes already, so there is no line to speak.",
                "Add the line with Encode Text.",
            )
        kept = [(s, self.encoder.rows(s)) for s in self.segments]
        dropped = []
        while (used := sum(len(rows) for _, (rows, _) in kept)) + frames > positions:
            oldest = next((i for i, (s, _) in enumerate(kept[:-1]) if not s.voice), None)
            if oldest is None:
                voice = sum(len(rows) for s, (rows, _) in kept if s.voice)
                seconds = (
                    math.floor(10 * (positions - used) / self.encoder.config.frame_rate) / 10
                )  # down: the advice must work
                raise MisoError(
                    f"The prompt and the frames to make are {used + frames - positions} rows too many: {used - voice} of text + {voice} of "
                    f"voice prompt + {frames} frames = {used + frames}, and the model has {positions} positions.",
                    f"Ask for at most {seconds:.1f} s, or shorten the voice prompt (12.5 rows a second) or the text."
                    if seconds >= 1
                    else "Shorten the voice prompt (12.5 rows a second) or the text.",
                    input="max_seconds",
                )
            dropped.append(kept.pop(oldest)[0])
        if dropped:
            log.warning(
                "Miso: %d of %d history segments left out, the oldest first: %d positions hold no more beside %d frames to make.",
                len(dropped),
                len(dropped) + sum(not s.voice for s, _ in kept[:-1]),
                positions,
                frames,
            )
        rows, mask = (torch.cat(parts) for parts in zip(*(r for _, r in kept)))
        return Prompt(rows, mask, self.line, tuple(dropped))
