"""Where each word lies in codes: the backbone hears them with their text, and its attention is followed.

No other model takes part, and nothing is trained or stored for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.takes import Span, Take, Word, words_within
from ..errors import MisoError, counted
from ..model.networks import Backbone
from ..progress import Progress
from ..text.conditioning import Segment, TextEncoder, frame_rows, frames_of_take
from ..text.length import expected_seconds
from ..text.words import SpelledWord, spelled_words
from .attention import text_shares
from .monotone import occupancy

LOW = 0.3  # of confidence: look at such a word
_NAMED = 5  # such words in a summary
_REST = 1.0  # seconds after the last word in which more than the text may be said
_STEP = 4  # symbols that a path may go on in a frame; more if the text is long for its frames
_AHEAD = 1.0  # frames that the model looks at a symbol before it is heard
_PAUSE = 3.0  # times the mean symbol: a word's last symbol lasts no longer, the rest is a pause after it
_SEEN = 0.5
_GRID = 16  # parts of a frame (5 ms): numbers that stay exact when frames are added
CUT = ("limit", "interrupted", "runaway")


@dataclass(frozen=True, eq=False)
class Aligned:
    """Codes with words, and spans (take from 0, span) whose text could not be aligned, with the reason."""

    codes: Codes
    left_out: tuple[tuple[int, Span, str], ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all takes."""
        return tuple(word for take in self.codes.takes for word in take.words)


def align(
    backbone: Backbone,
    encoder: TextEncoder,
    codes: Codes,
    transcript: str = "",
    progress: Progress | None = None,
) -> Aligned:
    """``codes`` with the words of every take.

    Each span is aligned with its own text, by itself. With a ``transcript``, every take is one span that says
    it; the spans of the codes stay. Words that were there before are replaced, except in spans that are left
    out. ``progress`` counts layers.

    Raises MisoError if no text is known or exact, if the codes are of another codec, or if a span is too long
    for the model.
    """
    _check(backbone, encoder)
    tasks = [
        (i, span)
        for i, take in enumerate(codes.takes)
        for span in _spans(take, int(codes.lengths[i]), transcript)
    ]
    if not any(span.text.strip() for _, span in tasks):
        raise MisoError(
            "The text of these codes is not known. Type exactly what they say.", input="transcript"
        )
    words: list[list[Word]] = [[] for _ in codes.takes]
    left_out = []
    layers = len(backbone.transformer.layers)
    for done, (i, span) in enumerate(tasks):
        report = partial(_within, progress, done * layers, len(tasks) * layers) if progress else None
        reason = _why_not(span, int(codes.lengths[i]))
        if not reason:
            take = codes.takes[i]
            cut = take.stop in CUT and span.end == int(codes.lengths[i])
            words[i] += _align_span(backbone, encoder, codes.take(i), span, cut, report)
        elif span.text.strip():
            left_out.append((i, span, reason))
            words[i] += words_within(codes.takes[i].words, span.start, span.end)
    if len(left_out) == sum(bool(span.text.strip()) for _, span in tasks) or not any(words):
        raise MisoError(
            f"No words could be aligned: {left_out[0][2]}." if left_out else "There are no words.",
            "Type exactly what the codes say now.",
            input="transcript",
        )
    takes = [
        replace(take, words=tuple(sorted(found, key=lambda word: word.start)))
        for take, found in zip(codes.takes, words)
    ]
    return Aligned(codes.like(codes.tensor, codes.lengths, takes), tuple(left_out))


def with_words(backbone: Backbone, encoder: TextEncoder, codes: Codes) -> Codes:
    """``codes`` with the words of every take, or as they are if no words can be found."""
    try:
        return align(backbone, encoder, codes).codes
    except MisoError:
        return codes


def summary(aligned: Aligned) -> str:
    """What was found, for people: how many words, from when to when, and what to listen to.

    That are words of low confidence, and a second or more after the last word. Of 27 takes of nano from which
    two words were cut, or in which two words or all of them were repeated, each had one of the two; of the 9
    unharmed ones, one had a word of low confidence.
    """
    codes, words = aligned.codes, aligned.words
    low = sum(word.confidence < LOW for word in words)
    facts = [counted(len(words), "word")]
    if codes.batch > 1:
        facts[0] += f" in {codes.batch} takes"
    else:
        start, end = words[0].start / codes.frame_rate, max(word.end for word in words) / codes.frame_rate
        facts.append(f"{start:.1f} to {end:.1f} s")
    facts += [f"{low} of low confidence"] if low else []
    lines = [", ".join(facts), *doubts(codes)]
    for take, span, why in aligned.left_out:
        text = span.text if len(span.text) <= 40 else f"{span.text[:40]}..."
        which = f" of take {take + 1}" if codes.batch > 1 else ""
        lines.append(f"Left out{which}: '{text}': {why}")
    return "\n".join(lines)


def doubts(codes: Codes) -> list[str]:
    """Where words may be missing, repeated or said otherwise, take by take."""
    lines = []
    for i, take in enumerate(codes.takes):
        if not take.words:
            continue
        where = f"Take {i + 1}: listen" if codes.batch > 1 else "Listen"
        low = [f"'{w.text}' {w.start / codes.frame_rate:.1f} s" for w in take.words if w.confidence < LOW]
        more = f" and {len(low) - _NAMED} more" * (len(low) > _NAMED)
        if low:
            named = ", ".join(low[:_NAMED])
            lines.append(f"{where} for words left out, repeated or said otherwise: {named}{more}")
        end = max(word.end for word in take.words)
        rest = (int(codes.lengths[i]) - end) / codes.frame_rate
        if rest > _REST:
            lines.append(f"{where} to the last {rest:.1f} s: silence, or more than the text.")
    return lines


def _check(backbone: Backbone, encoder: TextEncoder) -> None:
    mine, theirs = backbone.config, encoder.config
    if (mine.family, mine.codebooks, mine.text_vocab) != (theirs.family, theirs.codebooks, theirs.text_vocab):
        raise MisoError(
            "Take text_encoder and backbone from one Load Miso Model: they are of different checkpoints.",
            input="text_encoder",
        )


def _within(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    """Report steps of one span as steps of all."""
    progress(before + done, total)


def _spans(take: Take, length: int, transcript: str) -> list[Span]:
    if text := transcript.strip():
        return [Span(0, length, text, take.spans[0].speaker if take.spans else 0)]
    return sorted(take.spans, key=lambda span: span.start)


def _why_not(span: Span, length: int) -> str:
    """Why a span can't be aligned; "" if it can."""
    if not span.text.strip():
        return "its text is not known"
    if not span.exact:
        return "its text is no longer exact, because the codes were edited"
    if span.start >= min(span.end, length):
        return "it has no frames"
    return ""


def _align_span(
    backbone: Backbone,
    encoder: TextEncoder,
    codes: Codes,
    span: Span,
    cut: bool,
    progress: Progress | None,
) -> list[Word]:
    """The words of a span of one take; with ``cut`` its frames may end before its text does."""
    frames = frames_of_take(codes, backbone.config)[span.start : span.end]
    try:
        return find_words(
            backbone, encoder, Segment(span.text, span.speaker), frames, span.start, cut, progress=progress
        )
    except MisoError as e:
        raise MisoError(e.problem, e.remedy, "codes" if e.input == "codes" else "transcript") from e


def find_words(
    backbone: Backbone,
    encoder: TextEncoder,
    segment: Segment,
    frames: Tensor,
    at: int = 0,
    cut: bool = False,
    said: int = 0,
    progress: Progress | None = None,
) -> list[Word]:
    """The words of a segment in ``frames`` [T, k], the first of which is frame ``at`` of its take.

    With ``cut`` the frames may end before the text does, but not before ``said`` words (0: not before half of
    what is usual); words that are not reached are left out then. ``progress`` counts layers. Raises MisoError
    if the text can't be read, or if it and the frames are too long for the model.
    """
    config = backbone.config
    text, text_mask = encoder.rows(segment)
    spelled = spelled_words(encoder, segment)
    if not spelled or not len(frames):
        return []
    first = len(text) - 1
    if first + len(frames) > config.positions:
        raise MisoError(
            f"Cut the codes: {len(frames) / config.frame_rate:.0f} s of one text are too long for the model.",
            f"They and the text are {first + len(frames)} rows; it has {config.positions} positions.",
            input="codes",
        )
    columns = symbol_columns(spelled, text)
    least = 0
    if cut and said:
        least = spelled[min(said, len(spelled)) - 1].last - spelled[0].first
    elif cut:  # it may have come to half of what usually is said in that time
        usual = len(frames) / config.frame_rate / expected_seconds(segment.text)
        least = int(len(columns) * usual / 2)
    shares, places = place_symbols(
        backbone, text, text_mask, frames, columns, least if cut else None, progress
    )
    return _words(spelled, shares, places, at, cut)


def symbol_columns(spelled: list[SpelledWord], text: Tensor) -> Tensor:
    """The rows [S] of a line's ``text`` [N, K+1] from its first word to its last mark.

    That leaves out the start id and the speaker before, and the end id after.
    """
    return torch.arange(spelled[0].first, len(text) - 1)


def place_symbols(
    backbone: Backbone,
    text: Tensor,
    text_mask: Tensor,
    frames: Tensor,
    columns: Tensor,
    least: int | None = None,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """The symbols of a text in the frames that say it: shares of attention and probabilities, [T, S] each.

    ``text`` and ``text_mask`` [N, K+1] are the rows of the line, ``frames`` [T, k] follow it, and ``columns``
    [S] are the rows of the symbols. The last frame may be on symbol ``least`` or later (default: on one of
    the last). ``progress`` counts layers.
    """
    step = max(_STEP, -(-2 * len(columns) // len(frames)))
    last = len(columns) - step
    least = max(0, last if least is None else min(last, least))
    audio, audio_mask = frame_rows(frames[:-1], backbone.config.codebooks)
    rows, mask = torch.cat((text, audio)), torch.cat((text_mask, audio_mask))
    shares = text_shares(backbone, rows, mask, len(text) - 1, columns, step, least, progress)
    return shares, occupancy(shares, step, least)


def _words(spelled: list[SpelledWord], shares: Tensor, places: Tensor, at: int, cut: bool) -> list[Word]:
    """Words from each frame's shares and places [T, S] in the symbols; frame 0 is ``at`` of the take."""
    frames, origin = len(shares), spelled[0].first
    passed = places.sum(0).cumsum(0)  # frames until each symbol is left, in the mean over all paths
    # how much each symbol was looked at while it was said, of what half a usual symbol gets
    seen = (places * shares).sum(0).div(_SEEN * frames / shares.shape[1]).clamp(0, 1)
    longest = max(2.0, _PAUSE * frames / shares.shape[1])
    found: list[Word] = []
    for word in spelled:
        a, b = word.first - origin, word.last - origin
        start = float(passed[a - 1]) if a else 0.0
        last = float(passed[b - 1]) if b else 0.0
        end = last + min(float(passed[b]) - last, longest)
        if cut and start > frames - 0.5:
            break
        confidence = float(seen[a : b + 1].mean())
        start, end = (round(min(max(x + _AHEAD, 0), frames) * _GRID) / _GRID for x in (start, end))
        found.append(Word(word.text, at + start, at + end, round(min(max(confidence, 0), 1), 3)))
    return found
