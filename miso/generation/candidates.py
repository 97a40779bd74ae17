"""Ways to say a stretch of a take anew: sampled at once, each ended where the next word that is kept begins.

All are sampled after the exact frames before the stretch. They are ranked by the model's own likelihood: that
of their frames, and that of the first old frames after them, in all codebooks. The second is the cost of the
seam: it hears pitch and sound as well as words, and needs no vocoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.takes import Take, Word
from ..errors import MisoError
from ..model.networks import Backbone
from ..model.sampling import Sampling
from ..text.conditioning import Prompt, Segment, TextEncoder, frames_of_take
from .alignment import find_words
from .depth import DepthSampler
from .junctions import log_likelihoods
from .loop import FrameLoop

LEADS = 2, 3, 4  # frames before a word in which the model begins to say it: tried until its words are whole
_SHIFTS = (0, 1)  # frames after the next word's start at which the old frames may go on
_AFTER = 6  # old frames that are to be likely
_DETAIL = 0.25  # weight of a codebook of the depth decoder; codebook 0 has 1
_SHORTEST = 0.6  # of the expected length: in less, words were passed over
_SURE = 2  # frames of the next word, so that it is known where it begins
_ENOUGH = 0.7  # of the takes have come to the next word: the others don't find it
_AGAIN = 4  # frames until that is looked at again
_MISSING = 3.0  # cost of the whole expected length
_UNUSABLE = 100.0


@dataclass(frozen=True, eq=False)
class Voice:
    """What speaks: the networks, the text encoder, how codes are drawn, and the segments before the line."""

    backbone: Backbone
    depth: DepthSampler
    encoder: TextEncoder
    sampling: Sampling
    history: tuple[Segment, ...] = ()


@dataclass(frozen=True, eq=False)
class Gap:
    """A stretch to be said anew within a segment.

    - ``line``: the segment with its new text
    - ``before`` [P, k] and ``after`` [A, k]: its frames around the gap; nothing follows if ``after`` is None
    - ``words``: which words of ``line`` lie in the gap
    - ``expected``: frames that they take, after about ``lead`` others; ``following``: frames of the next word
    """

    line: Segment
    before: Tensor
    after: Tensor | None
    words: range
    expected: float
    lead: int
    following: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """A way to fill a gap: ``frames`` [T, k], and how many frames after the gap are ``skipped`` then.

    ``words`` are those that begin in the gap, by their number in the line, at frames from its start. The
    higher the ``score``, the better. It is ``whole`` if all words are there, in a time in which they can be
    said.
    """

    frames: Tensor
    skipped: int
    words: Mapping[int, Word]
    score: float = 0.0
    whole: bool = True


def sample_candidates(
    voice: Voice, gap: Gap, seeds: list[int], like: Codes, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Candidate], int]:
    """A candidate for each of ``seeds``, the best first, and the number of frames that each was sampled.

    ``like`` are codes of the same codec. ``progress`` counts frames.
    """
    first, most = _limits(gap)
    prompt = _prompt(voice, gap, len(gap.before) + most)
    loop = FrameLoop(
        voice.backbone,
        voice.depth,
        prompt,
        seeds=seeds,
        max_frames=most,
        sampling=voice.sampling,
        prefix=like.like(gap.before.T[None], takes=[Take()]) if len(gap.before) else None,
        min_frames=0 if gap.after is not None else gap.lead + math.ceil(gap.expected * _SHORTEST),
    )
    heard: dict[int, list[Word]] = {}  # by take, once it has come to the next word
    steps, look = 0, first
    try:
        for _ in loop:
            steps += 1
            if progress:
                progress(steps, most)
            if gap.after is not None and steps == look:
                _listen(voice, gap, loop.codes, heard)
                if len(heard) >= _ENOUGH * len(seeds):
                    break
                look += _AGAIN
    finally:
        loop.close()
    codes = loop.codes
    _listen(voice, gap, codes, heard)
    found = [_endings(voice, gap, codes.take(i), heard.get(i)) for i in range(len(seeds))]
    scores = iter(_score(voice, gap, prompt, [ending for endings in found for ending in endings]))
    scored = [[replace(ending, score=ending.score + next(scores)) for ending in endings] for endings in found]
    best = [max(endings, key=lambda ending: ending.score) for endings in scored]
    if gap.words:
        best = _long_enough(best)
    return sorted(best, key=lambda candidate: -candidate.score), steps


def _prompt(voice: Voice, gap: Gap, frames: int) -> Prompt:
    try:
        return voice.encoder.conditioning([*voice.history, gap.line]).prompt(frames, len(gap.before))
    except MisoError as e:
        raise MisoError(
            "Cut the codes: text and speech are too long for words of them to be said anew.",
            e.problem,
            input="codes",
        ) from e


def _limits(gap: Gap) -> tuple[int, int]:
    """After how many frames the next word may have come, and the most that are sampled."""
    most = math.ceil(2 * gap.expected) + 20
    if gap.after is None:
        return most, most
    return math.ceil(1.1 * gap.expected + 2 + gap.lead + min(5.0, gap.following)), most + 10


def _listen(voice: Voice, gap: Gap, codes: Codes, heard: dict[int, list[Word]]) -> None:
    """Add the words of those takes that have come to the end of the gap."""
    for i in range(codes.batch):
        frames = frames_of_take(codes.take(i), voice.backbone.config)
        if i in heard or len(frames) <= len(gap.before):
            continue
        if gap.after is None:
            heard[i] = find_words(voice.backbone, voice.encoder, gap.line, frames)
            continue
        words = find_words(voice.backbone, voice.encoder, gap.line, frames, cut=True, said=gap.words.stop)
        if len(words) > gap.words.stop and words[gap.words.stop].start <= len(frames) - _SURE:
            heard[i] = words


def _endings(voice: Voice, gap: Gap, take: Codes, heard: list[Word] | None) -> list[Candidate]:
    """Where a take may go over into the frames after the gap, with what speaks against it as their scores."""
    frames = frames_of_take(take, voice.backbone.config)
    at = len(gap.before)
    if gap.after is None:
        ended = take.takes[0].stop == "eos"
        return [_cut(gap, frames, len(frames), 0, heard, ended)]
    if heard is None:
        return [_cut(gap, frames, len(frames), 0, None, False)]
    start = max(at, math.floor(heard[gap.words.stop].start))
    shifts = [n for n in _SHIFTS if start + n <= len(frames) and n <= len(gap.after)]
    return [_cut(gap, frames, start + n, n, heard, True) for n in shifts]


def _cut(
    gap: Gap, frames: Tensor, end: int, skipped: int, heard: list[Word] | None, arrived: bool
) -> Candidate:
    at = len(gap.before)
    words = {
        i: replace(word, start=_inside(word.start, at, end), end=_inside(word.end, at, end))
        for i, word in enumerate(heard or [])
        if i in gap.words or (i < gap.words.start and word.start >= at)
    }
    said = sum(words[i].end - words[i].start for i in gap.words if i in words)
    missing = max(0.0, _SHORTEST * gap.expected - said)
    score = -_MISSING * missing / max(1.0, gap.expected) - (0.0 if arrived else _UNUSABLE)
    return Candidate(frames[at:end], skipped, words, score, arrived and not missing)


def _long_enough(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates, with a cost for those much shorter than most: they passed over words.

    The estimate of the text misses that at the end of a line, where words are drawn out.
    """
    least = _SHORTEST * median(len(candidate.frames) for candidate in candidates)
    return [
        candidate
        if len(candidate.frames) >= least
        else replace(candidate, score=candidate.score - _MISSING, whole=False)
        for candidate in candidates
    ]


def _inside(place: float, start: int, end: int) -> float:
    """A place in frames start..end, from the start."""
    return min(max(place, start), end) - start


def _score(voice: Voice, gap: Gap, prompt: Prompt, endings: list[Candidate]) -> list[float]:
    """The mean log likelihood of each ending's frames, plus that of the first old frames after it."""
    count = 0 if gap.after is None else min(_AFTER, len(gap.after))
    tails = [
        ending.frames
        if gap.after is None
        else torch.cat((ending.frames, gap.after[ending.skipped : ending.skipped + count]))
        for ending in endings
    ]
    found = log_likelihoods(voice.backbone, voice.depth.decoder, prompt, gap.before, tails)
    weights = torch.full((gap.before.shape[1],), _DETAIL)
    weights[0] = 1
    frames = [likelihoods @ weights for likelihoods in found]
    usual = torch.cat(frames).mean().item() if sum(map(len, frames)) else 0.0
    return [
        sum(part.mean().item() if len(part) else usual for part in row.split([n, len(row) - n]))
        for row, n in ((row, len(ending.frames)) for row, ending in zip(frames, endings))
    ]
