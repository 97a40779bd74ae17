"""Takes, spans and words: the provenance of codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise
from typing import Any

from ..errors import MisoError
from ..limits import MAX_FRAMES, is_int, is_number

STOPS = ("eos", "limit", "interrupted", "runaway")


@dataclass(frozen=True)
class Span:
    """The frames of a segment: frames start..end-1 of a take say ``text`` in the voice of ``speaker``.

    The text is no longer ``exact`` once frames of it were cut out or repeated, or others put in between.
    Raises MisoError for values of other types or ranges.
    """

    start: int
    end: int
    text: str = ""
    speaker: int = 0
    exact: bool = True

    def __post_init__(self):
        if not (is_int(self.start, 0, MAX_FRAMES) and is_int(self.end, self.start, MAX_FRAMES)):
            raise MisoError(f"A span can't go from frame {self.start!r} to {self.end!r}.")
        if not isinstance(self.text, str) or not is_int(self.speaker, 0, 2**31):
            raise MisoError(f"A span needs a text and the number of a speaker, not {self.speaker!r}.")
        if type(self.exact) is not bool:
            raise MisoError(f"The text of a span is exact or not, not {self.exact!r}.")


@dataclass(frozen=True)
class Word:
    """A word of a take and where it lies: from ``start`` to ``end`` in frames, which need not be whole.

    ``confidence``: 0 to 1, how sure the place is. Raises MisoError for values of other types or ranges.
    """

    text: str
    start: float
    end: float
    confidence: float

    def __post_init__(self):
        if not isinstance(self.text, str) or not self.text.strip():
            raise MisoError("A word needs letters.")
        if not (is_number(self.start, 0, MAX_FRAMES) and is_number(self.end, self.start, MAX_FRAMES)):
            raise MisoError(f"A word can't go from frame {self.start!r} to {self.end!r}.")
        if not is_number(self.confidence, 0, 1):
            raise MisoError(f"A word's confidence must be 0 to 1, not {self.confidence!r}.")


@dataclass(frozen=True)
class Take:
    """The provenance of one take: its seed, why it ended, the segments it consists of, and its words.

    ``words`` are in the order of their starts; there are none before they are aligned.
    """

    seed: int | None = None
    stop: str | None = None  # one of STOPS; None if the take was encoded or edited
    spans: tuple[Span, ...] = ()
    # the model's log probability (natural logarithm, temperature 1) of codebook 0, mean over the sampled
    # frames
    log_probability: float | None = None
    words: tuple[Word, ...] = ()

    def __post_init__(self):
        if self.seed is not None and not is_int(self.seed, -(2**63), 2**64):
            raise MisoError(f"A take's seed must be a whole number, not {self.seed!r}.")
        if self.stop is not None and self.stop not in STOPS:
            raise MisoError(f"A take's stop reason must be one of {', '.join(STOPS)}, not {self.stop!r}.")
        if not all(isinstance(span, Span) for span in self.spans):
            raise MisoError("A take's spans must be spans.")
        if self.log_probability is not None and not is_number(self.log_probability, -1e6, 1e6):
            raise MisoError(f"A take's log probability must be a number, not {self.log_probability!r}.")

        if not all(isinstance(word, Word) for word in self.words):
            raise MisoError("A take's words must be words.")
        if any(a.start > b.start for a, b in pairwise(self.words)):
            raise MisoError("A take's words must be in the order of their starts.")

    @property
    def text(self) -> str:
        """What it says; "" if that is not known."""
        return " ".join(span.text for span in self.spans if span.text.strip())

    @property
    def exact(self) -> bool:
        """Whether it says exactly ``text``."""
        return all(span.exact for span in self.spans)

    @property
    def label(self) -> str:
        """``text`` as shown to people: marked if it is no longer exact."""
        return self.text if self.exact or not self.text else f"about: {self.text}"


def take_to_json(take: Take) -> dict[str, Any]:
    """A take's description in a codes file.

    What is as usual is left out where earlier versions didn't write it: files, digests and keys stay the
    same.
    """
    described = asdict(take)
    described["spans"] = [span_to_json(span) for span in take.spans]
    described["words"] = [asdict(word) for word in take.words]
    if not take.words:
        del described["words"]
    return described


def span_to_json(span: Span) -> dict[str, Any]:
    """A span's description in a codes file."""
    described = asdict(span)
    if span.exact:
        del described["exact"]
    return described


def take_from_json(take: dict) -> Take:
    """A take from its description in a codes file.

    Raises MisoError, KeyError or TypeError for anything else.
    """
    spans = tuple(Span(**span) for span in take["spans"])
    words = tuple(Word(**word) for word in take.get("words", ()))
    return Take(take["seed"], take["stop"], spans, take.get("log_probability"), words)


def words_within(words: Iterable[Word], start: int, end: int, shift: int = 0) -> tuple[Word, ...]:
    """The words that lie wholly in frames start..end-1, moved by ``shift`` frames."""
    return tuple(
        replace(word, start=word.start + shift, end=word.end + shift)
        for word in words
        if start <= word.start and word.end <= end
    )


def join_spans(*groups: tuple[Span, ...]) -> tuple[Span, ...]:
    """Concatenate spans, merging adjacent ones of the same text and speaker: joining undoes cutting.

    Merged spans are as exact as the last of them: a take that continues its own beginning says its text.
    """
    joined: list[Span] = []
    for span in chain(*groups):
        last = joined[-1] if joined else None
        if last and (last.end, last.text, last.speaker) == (span.start, span.text, span.speaker):
            joined[-1] = replace(span, start=last.start)
        else:
            joined.append(span)
    return tuple(joined)
