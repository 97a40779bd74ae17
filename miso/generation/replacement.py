"""Words said anew: what changes in the text is sampled, and every other frame stays as it is.

Old and new text are compared word by word. Each stretch that differs is sampled after the exact frames
before it, with the whole new text as conditioning, until the next word that is kept; there, the old frames go
on (see ``candidates``).

Of 300 edits with nano (``python tests/measure_replacement.py 300``; "before" is the take before the edit,
"sampled" the new sentence as a whole):

    edit                    word errors   before   sampled   kept words still heard
    a word in the middle        2.1 %      2.5 %     2.1 %        99 %
    a word put in               2.5 %      3.4 %     2.7 %       100 %
    a word left out             3.4 %      1.7 %     5.8 %        98 %
    the first word              4.0 %      2.9 %     4.4 %        99 %
    at the end                  2.5 %      2.8 %     2.7 %        99 %
    several                     4.0 %      2.1 %     4.3 %        99 %
    all                         3.0 %      2.6 %     3.4 %        99 %

17 % of the seams stand out (``miso.audio.seams``, above 0.9), and 12 % of the same places before the edit.
What is wrong in words that stay remains. The voice stays: cosine 0.958 to the take before (Resemblyzer),
where another take has 0.930. Words added at the end came out wrong twice as often before the word in front of
them was said anew too. A heavier weight of the frames after a seam didn't change how many stand out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from ..codes.codes import Codes, as_takes
from ..codes.takes import Span, Take, Word
from ..errors import MisoError
from ..limits import MAX_TAKES
from ..model.networks import Backbone
from ..model.sampling import Sampling
from ..progress import Progress
from ..text.changes import Change, changes, divide
from ..text.conditioning import Segment, TextEncoder, frames_of_take, text_said
from ..text.length import expected_seconds
from ..text.words import SpelledWord, spelled_words
from .alignment import CUT, find_words
from .candidates import LEADS, Candidate, Gap, Voice, sample_candidates
from .depth import DepthSampler
from .rebuilt import Rebuilt

TAKES = 8
_PARTS = 100  # of a stretch, for progress


@dataclass(frozen=True, eq=False)
class SpanEdit:
    """A span of a take, the segment that it becomes, and the words that change. "" as text removes it."""

    span: Span
    segment: Segment
    old: list[SpelledWord]
    new: list[SpelledWord]
    changes: list[Change]

    def said(self, change: Change) -> str:
        """The words that a change puts in."""
        return _text(self.new, change.new)

    @property
    def key(self) -> tuple[object, ...]:
        """What ``keys.replacement_key`` needs to know of it."""
        words = [[word.said for word in words] for words in (self.old, self.new)]
        said_anew = [[c.old.start, c.old.stop, c.new.start, c.new.stop] for c in self.changes]
        span = self.span.start, self.span.end, self.span.speaker, self.span.text
        return *span, self.segment.text, words, said_anew

    @property
    def about(self) -> list[str]:
        """Each change, for people."""
        return [
            f"{_text(self.old, change.old) or '-'} → {_text(self.new, change.new) or '-'}"
            for change in self.changes
        ]


@dataclass(frozen=True, eq=False)
class Replaced:
    """``codes``: a take for each candidate, the best first. ``sampled``: frames that were drawn of each.

    ``kept``: (start, end, place): frames start..end-1 of the old codes are, bit for bit, those from ``place``
    on of the first take.
    """

    codes: Codes
    sampled: int
    kept: tuple[tuple[int, int, int], ...]


def plan_edits(
    encoder: TextEncoder,
    codes: Codes,
    text: str,
    transcript: str = "",
    reading: TextEncoder | None = None,
) -> list[SpanEdit]:
    """What must be said anew so that one take says ``text``; needs no weights.

    ``transcript`` is what it says now (default: the text that it carries), ``reading`` an encoder of the same
    model with other pronunciations: words that it reads otherwise are said anew too. A word counts as kept if
    only its capitals, or marks beside it, change.

    Raises MisoError if there are several takes, if their text is unknown or no longer exact, or if nothing
    would be left.
    """
    frames_of_take(codes, encoder.config)
    if not text.strip():
        raise MisoError("Write what the codes are to say: the text is empty.", input="text")
    take, said = codes.takes[0], text_said(codes, transcript)
    spans = [span for span in take.spans if span.text.strip() and span.end > span.start]
    if transcript.strip() or not spans:
        spans = [Span(0, codes.frames, said, spans[0].speaker if spans else 0)]
    spans.sort(key=lambda span: span.start)
    edits = []
    for span, new_text in zip(spans, divide(text, [span.text for span in spans])):
        segment = Segment(new_text, span.speaker)
        old = spelled_words(encoder, Segment(span.text, span.speaker))
        new = spelled_words(reading or encoder, segment) if new_text else []
        if not old and new:
            raise MisoError(
                f"Say it anew as a whole: '{span.text.strip()}' has no words that could be kept.",
                input="codes",
            )
        edits.append(SpanEdit(span, segment, old, new, _changes(old, new)))
    return edits


def replace_words(
    backbone: Backbone,
    depth: DepthSampler,
    encoder: TextEncoder,
    codes: Codes,
    edits: Sequence[SpanEdit],
    *,
    reading: TextEncoder | None = None,
    seed: int = 0,
    takes: int = TAKES,
    sampling: Sampling = Sampling(),
    history: Sequence[Segment] = (),
    progress: Progress | None = None,
) -> Replaced:
    """Say the changes of ``edits`` (``plan_edits``, with the same ``reading``) anew, from left to right.

    ``history`` are the voice prompts and what was said before, as for the run that made the codes; earlier
    spans of the take follow them. A later stretch is sampled after the best candidate of those before it.
    ``progress`` counts hundredths of stretches.

    Raises MisoError if a span is too long for the model, or if nothing would be left.
    """
    if not any(edit.changes for edit in edits):
        return _unchanged(codes, edits)
    if not 1 <= takes <= MAX_TAKES:
        raise MisoError(f"takes is {takes}.", f"Use 1 to {MAX_TAKES}.", input="takes")
    config, reading = backbone.config, reading or encoder
    depth = DepthSampler(depth.decoder, depth.sampling, codes.codebooks)
    frames, words = frames_of_take(codes, config), codes.takes[0].words
    if not any(edit.new for edit in edits):
        raise MisoError("Nothing would be left of the speech.", "Keep a word.", input="text")
    spans = [edit.span for edit in edits if edit.changes]
    kept_words = {
        (-1, i): word
        for i, word in enumerate(words)
        if not any(span.start <= word.start < span.end for span in spans)
    }
    rebuilt = Rebuilt(frames)
    total, done, sampled = sum(len(edit.changes) for edit in edits if edit.segment.text), 0, 0
    times: Counter[tuple[str, str]] = Counter()
    spoken: list[Segment] = []
    for number, edit in enumerate(edits):
        span = edit.span
        rebuilt.keep(span.start)
        if not edit.segment.text:
            rebuilt.fill(span.end, [Candidate(frames[:0], 0, {})], number)
            continue
        first = len(rebuilt.parts)
        if edit.changes:
            segment, own = Segment(span.text, span.speaker), frames[span.start : span.end]
            cut = codes.takes[0].stop in CUT and span.end == len(frames)
            found = find_words(backbone, encoder, segment, own, span.start, cut)
            kept_words |= {(number, i): word for i, word in _kept(found, edit).items()}
            pace = (found[-1].end - found[0].start) / expected_seconds(span.text)
            memory = config.conventions.memory
            before = spoken if memory is None else spoken[max(0, len(spoken) - memory) :]
            voice = Voice(backbone, depth, reading, sampling, (*history, *before))
        for change in edit.changes:
            end, last = _end(found, change, span), change.old.stop >= len(found)
            said = edit.said(change)
            same = _text(edit.old, change.old), said
            seeds = [_seed(seed, *same, times[same], i) for i in range(takes)]
            times[same] += 1
            report = partial(_within, progress, done, total) if progress else None
            for lead in LEADS:
                start = min(end, max(rebuilt.following, _start(found, change, span, lead)))
                gap = Gap(
                    edit.segment,
                    torch.cat((rebuilt.frames(first), frames[rebuilt.following : start])),
                    None if last else frames[end : span.end],
                    change.new,
                    pace * expected_seconds(said) if said else 0.0,
                    lead,
                    0.0 if last else pace * expected_seconds(edit.new[change.new.stop].text),
                )
                candidates, steps = sample_candidates(voice, gap, seeds, codes, report)
                sampled += steps
                if candidates[0].whole or start <= max(span.start, rebuilt.following):
                    break
            rebuilt.keep(start)
            rebuilt.fill(end, candidates, number)
            done += 1
        rebuilt.keep(span.end)
        own = rebuilt.frames(first)
        spoken.append(replace(edit.segment, codes=codes.like(own.T[None], takes=[Take()])))
    rebuilt.keep(len(frames))
    now = [(edit.span, edit.segment.text) for edit in edits]
    results = [rebuilt.take(codes, now, kept_words, rank) for rank in range(rebuilt.ranks)]
    return Replaced(as_takes(results), sampled, rebuilt.kept())


def _unchanged(codes: Codes, edits: Sequence[SpanEdit]) -> Replaced:
    """The codes with their new text, of which no word is another."""
    spans = tuple(replace(edit.span, text=edit.segment.text, exact=True) for edit in edits)
    return Replaced(
        codes.like(codes.tensor, takes=[replace(codes.takes[0], spans=spans)]), 0, ((0, codes.frames, 0),)
    )


def _changes(old: list[SpelledWord], new: list[SpelledWord]) -> list[Change]:
    """What is said anew. With words added at the end, the one before them is: it was said as the last."""
    found = changes([word.said for word in old], [word.said for word in new])
    if not found or not old or found[-1].old.start < len(old):
        return found
    first = Change(range(len(old) - 1, len(old)), range(found[-1].new.start - 1, found[-1].new.stop))
    before = found[:-1]
    if before and before[-1].old.stop == first.old.start:
        begin = before.pop()
        first = Change(range(begin.old.start, len(old)), range(begin.new.start, first.new.stop))
    return [*before, first]


def _kept(found: list[Word], edit: SpanEdit) -> dict[int, Word]:
    """The words of a span that stay, by their number in the new text and as that writes them."""
    kept, i, k = {}, 0, 0
    for change in [*edit.changes, Change(range(len(found), 0), range(0))]:
        for word in found[i : change.old.start]:
            kept[k] = replace(word, text=edit.new[k].text)
            k += 1
        i, k = change.old.stop, change.new.stop
    return kept


def _start(found: list[Word], change: Change, span: Span, lead: int) -> int:
    """The first frame that goes: ``lead`` frames before the first word that changes."""
    first = change.old.start
    if not first:
        return span.start
    place = found[first].start if first < len(found) else found[-1].end
    return max(span.start, min(math.floor(place) - lead, _end(found, change, span)))


def _end(found: list[Word], change: Change, span: Span) -> int:
    """The first frame that stays: where the next word begins."""
    return math.floor(found[change.old.stop].start) if change.old.stop < len(found) else span.end


def _seed(seed: int, old: str, new: str, nth: int, take: int) -> int:
    """The seed of a take of a change: the same for the same words, wherever they stand."""
    content = json.dumps([seed, old, new, nth, take])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big") >> 1


def _within(progress: Progress, done: int, total: int, steps: int, most: int) -> None:
    """Report frames of one stretch as hundredths of all."""
    progress(round(_PARTS * (done + steps / most)), _PARTS * total)


def _text(words: list[SpelledWord], which: range) -> str:
    return " ".join(words[i].text for i in which)
