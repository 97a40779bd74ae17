"""Conditioning: the segments that the backbone continues, encoded as prompt rows that fit its positions.

A row has K + 1 columns, the K codes of a frame and a text id; a mask of the same shape says which of them
count.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.retired import other_codec
from ..errors import MisoError
from ..model.config import ModelConfig
from ..progress import Progress
from .normalize import Normalized, normalize, readable, refuse_silence
from .pronunciations import Pronunciations
from .tokenizer import Tokenizer

log = logging.getLogger(__name__)

_WORD_FRAMES = 4  # of speech that a word takes
_WORD_LETTERS = 6  # that it has, with a space
_FAR = 4  # times the positions


@dataclass(frozen=True)
class Segment:
    """Text and speaker of an utterance, and its codes; without codes it is the line to speak.

    A ``voice`` prompt is always kept; other segments with codes are history, of which the oldest is dropped
    first.
    """

    text: str
    speaker: int = 0
    codes: Codes | None = None
    voice: bool = False


def text_said(codes: Codes, transcript: str = "") -> str:
    """What codes of one take say: the transcript, or without one the text that they carry.

    Raises MisoError if that is missing or no longer exact.
    """
    if text := transcript.strip():
        return text
    take = codes.takes[0]
    if not take.text:
        raise MisoError("Transcript missing. Type exactly what the recording says.", input="transcript")
    if not take.exact:
        raise MisoError(
            "The text of these codes is no longer exact, because they were edited.",
            "Type exactly what they say now.",
            input="transcript",
        )
    return take.text


@dataclass(frozen=True, eq=False)
class Prompt:
    """Rows and mask [S, K+1] for the backbone, the line to speak, and the history that did not fit.

    ``history`` has, for each segment before the line, the number of rows up to its end.
    """

    rows: Tensor
    mask: Tensor
    line: Segment
    dropped: tuple[Segment, ...] = ()
    history: tuple[int, ...] = ()


class TextEncoder:
    """Encodes segments as rows, by the conventions of one model."""

    def __init__(
        self, config: ModelConfig, tokenizer: Tokenizer, pronunciations: Pronunciations = Pronunciations()
    ):
        self.config, self.tokenizer, self.pronunciations = config, tokenizer, pronunciations

    def with_pronunciations(self, pronunciations: Pronunciations) -> TextEncoder:
        """This encoder with a user's pronunciations."""
        return TextEncoder(self.config, self.tokenizer, pronunciations)

    def read(self, text: str) -> Normalized:
        """The text as the model reads it, and what is left out.

        Words of ``pronunciations`` are replaced. Models that read phonemes get numbers, signs and
        abbreviations in words. Raises MisoError if nothing can be spoken.
        """
        told = self.pronunciations.apply(text)
        spoken = normalize(told) if self.config.conventions.normalize else readable(told)
        refuse_silence(text, spoken)
        return spoken

    def rows(self, segment: Segment, progress: Progress | None = None) -> tuple[Tensor, Tensor]:
        """Rows and mask [S, K+1] of a segment: text, frames, and the all-zero frame that ends them.

        Raises MisoError if nothing of the text can be spoken, or if the codes are not one take of the model's
        codec.
        """
        rows, mask = self._text_rows(segment, progress)
        if segment.codes is None:
            return rows, mask
        audio_rows, audio_mask = self._audio_rows(segment.codes)
        return torch.cat((rows, audio_rows)), torch.cat((mask, audio_mask))

    def spelling(self, segment: Segment, progress: Progress | None = None) -> tuple[str, str, int]:
        """A segment's text as it is spoken, as it is written into the prompt, and where it begins there.

        Raises MisoError as ``rows`` does.
        """
        conventions = self.config.conventions
        if segment.speaker < 0:
            raise MisoError(f"speaker is {segment.speaker}.", "Use 0 or more.", input="speaker")
        self._check_length(segment.text)
        text = self.read(segment.text).text
        self._check_length(text)
        text = text.lstrip() if conventions.strip else text
        spelt = self.tokenizer.spell(text, progress)
        prompt = conventions.prompt.format(speaker=segment.speaker, text=spelt)
        return text, prompt, len(prompt) - len(spelt)  # all prompts end with the text

    def conditioning(self, segments: Iterable[Segment]) -> Conditioning:
        return Conditioning(self, tuple(segments))

    def _text_rows(self, segment: Segment, progress: Progress | None) -> tuple[Tensor, Tensor]:
        ids = torch.tensor(self.tokenizer.encode(self.spelling(segment, progress)[1]))
        if int(ids.max()) >= self.config.text_vocab:
            raise MisoError(
                f"Use the checkpoint's own tokenizer: this one gives the id {int(ids.max())}, "
                f"but the model has only {self.config.text_vocab} text ids.",
            )
        rows = torch.zeros(len(ids), self.config.codebooks + 1, dtype=torch.int64)
        rows[:, -1] = ids
        mask = torch.zeros_like(rows, dtype=torch.bool)
        mask[:, -1] = True
        return rows, mask

    def _check_length(self, text: str) -> None:
        """Refuse what can't fit by far, before time goes into it."""
        positions, letters = self.config.positions, self.tokenizer.letters_per_id
        if len(text) > _FAR * letters * positions:
            fit = round(positions / (_WORD_LETTERS / letters + _WORD_FRAMES))
            raise MisoError(
                f"Text too long: about {fit} words fit. Split it into several lines.",
                f"It has {len(text):,} characters.",
                input="text",
            )

    def _audio_rows(self, codes: Codes) -> tuple[Tensor, Tensor]:
        frames = frames_of_take(codes, self.config)
        end = torch.zeros(1, frames.shape[1], dtype=frames.dtype)
        return frame_rows(torch.cat((frames, end)), self.config.codebooks)


def frames_of_take(codes: Codes, config: ModelConfig, input: str = "codes") -> Tensor:
    """The frames [T, k <= K] of codes of one take.

    Raises MisoError if there are several takes, or if the model has another codec or fewer codebooks;
    ``input`` names the argument.
    """
    if codes.codec != config.codec:
        told = other_codec(
            codes.codec,
            f"the model speaks '{config.codec}'",
            f"Use codes of the model's codec: these are of the codec '{codes.codec}', the model speaks "
            f"'{config.codec}'.",
            "To encode a recording, choose nano-codec for nano, mimi for Miso 8B and CSM.",
        )
        raise MisoError(*told, input=input)
    if codes.batch != 1:
        raise MisoError(
            f"Put Pick Take in between: the codes have {codes.batch} takes, and only one can be used here.",
            input=input,
        )
    if codes.codebooks > config.codebooks:
        raise MisoError(
            f"Keep the first {config.codebooks} codebooks (Keep Codebooks): the codes have {codes.codebooks} "
            "codebooks, more than the model.",
            input=input,
        )
    return codes.tensor[0, :, : int(codes.lengths[0])].T


def frame_rows(frames: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
    """Rows and mask [T, K+1] of frames [T, k <= K]: missing codebooks and the text are masked."""
    rows = torch.zeros(len(frames), codebooks + 1, dtype=torch.int64)
    mask = torch.zeros_like(rows, dtype=torch.bool)
    rows[:, : frames.shape[1]] = frames
    mask[:, : frames.shape[1]] = True
    return rows, mask


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Segments in the order in which they are spoken; the last one is the line to speak."""

    encoder: TextEncoder
    segments: tuple[Segment, ...]

    @property
    def line(self) -> Segment:
        return self.segments[-1]

    def with_segment(self, segment: Segment) -> Conditioning:
        """Insert a segment: a voice prompt after other voice prompts, history just before the line."""
        self.encoder.rows(segment)  # raises for a bad segment now, at the node that adds it
        *before, line = self.segments
        index = sum(s.voice for s in before) if segment.voice else len(before)
        before.insert(index, segment)
        return replace(self, segments=(*before, line))

    def as_history(self, codes: Codes | None) -> tuple[Segment, ...]:
        """The segments as history of the next line: this line with ``codes``, without it if they are None."""
        *before, line = self.segments
        return (*before, replace(line, codes=codes)) if codes is not None else tuple(before)

    def prompt(self, frames: int, given: int = 0) -> Prompt:
        """The prompt rows, with room for ``frames`` more, of which a prefix gives the first ``given``.

        If there is not enough room, the oldest history is dropped, with a warning in the log. Raises
        MisoError if the voice prompts and the line alone leave too little room, or if there is no line to
        speak.
        """
        positions = self.encoder.config.positions
        if self.line.codes is not None:
            raise MisoError(
                "Add the line with Encode Text: the last segment has codes already, so there is no line to "
                "speak.",
            )
        kept = [(segment, *self.encoder.rows(segment)) for segment in self.segments]
        dropped = []
        while (used := sum(len(rows) for _, rows, _ in kept)) + frames > positions:
            oldest = next((i for i, (segment, _, _) in enumerate(kept[:-1]) if not segment.voice), None)
            if oldest is None:
                voice = sum(len(rows) for segment, rows, _ in kept if segment.voice)
                raise self._too_long(used - voice, voice, frames, given)
            dropped.append(kept.pop(oldest)[0])
        if dropped:
            log.warning(
                "Miso: %d of %d history segments were dropped, the oldest first: "
                "the model's %d positions have no room for them and %d new frames.",
                len(dropped),
                len(dropped) + sum(not segment.voice for segment, _, _ in kept[:-1]),
                positions,
                frames,
            )
        _, rows, mask = zip(*kept)
        history = tuple(accumulate(map(len, rows[:-1])))
        return Prompt(torch.cat(rows), torch.cat(mask), self.line, tuple(dropped), history)

    def _too_long(self, text: int, voice: int, frames: int, given: int) -> MisoError:
        """The error for ``text`` and ``voice`` rows that leave too little room for ``frames`` more rows."""
        positions, frame_rate = self.encoder.config.positions, self.encoder.config.frame_rate
        details = (
            f"Text ({text}), voice prompt ({voice}) and speech ({frames}) share {positions} positions, "
            f"{frame_rate:g} a second."
        )
        words = max(1, len(self.line.text.split()))
        # rounded down, so that following the advice succeeds
        seconds = math.floor(10 * (positions - text - voice - given) / frame_rate) / 10
        if seconds * frame_rate >= _WORD_FRAMES * words and seconds >= 1:
            return MisoError(f"Lower max_seconds to {seconds:.1f}.", details, input="max_seconds")
        if voice > text:
            room = (positions - text - _WORD_FRAMES * words) / frame_rate
            if room >= 1:
                return MisoError(f"Voice prompt too long: shorten it to {math.floor(room)} s.", details)
        fit = math.floor((positions - voice) / (text / words + _WORD_FRAMES))
        return MisoError(
            f"Text too long: about {max(1, fit)} words fit. Split it into several lines.", details
        )
