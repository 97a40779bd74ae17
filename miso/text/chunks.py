"""Long text cut into chunks that a checkpoint says as one line: paragraphs, sentences, and parts of long
sentences.

Nothing is lost: the chunks are the text, but for white space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .length import expected_seconds
from .script import Turn

# seconds of silence after a chunk, by what ends there, beyond what the speech itself ends with
PAUSES = {"paragraph": 0.6, "sentence": 0.15, "clause": 0.0, "word": 0.0}
_CLOSERS = "\"'”’»›)]}」』】）〉》"
_OPENERS = "\"'“‘«‹([{「『【（〈《¿¡-–—*_"
_WIDE_ENDS = "。！？｡"
# ends of a sentence, with the quotes and brackets that close after it
_END = re.compile(rf"[{_WIDE_ENDS}]+[{re.escape(_CLOSERS)}]*|[.!?…]+[{re.escape(_CLOSERS)}*_]*(?=\s)")
_PARAGRAPHS = re.compile(r"\n[^\S\n]*\n\s*")
# after which a sentence goes on, whatever follows
_GO_ON = frozenset(
    "adm approx capt cf cmdr col dr e.g ed eds eg esp fig gen gov hon i.e ie lt maj mlle mme mr mrs ms mt mx "
    "no nos p pp pres prof rep rev sen sgt sr st supt vol vs viz".split()
)
# after which it ends if one of the words below follows: "in the U.S. He left", "the U.S. Army"
_MAY_END = frozenset("a.d a.m assn ave b.c blvd bros co corp dept etc inc jr ltd p.m ph.d rd".split())
_STARTERS = frozenset(
    "a after all although an and as at before but by every for from he her here his how however i if in it "
    "its later many maybe meanwhile most my no not nobody now on once one only or our perhaps she since so "
    "some soon still such that the their then there these they this those to today we what when where "
    "which while who why with yes yet you your".split()
)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|[^\W\d_]")
# places to cut a long sentence at, the best first: a match ends where the next part begins
_CUTS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"[;；][{re.escape(_CLOSERS)}]*\s*|:\s+|\s[–—-]+\s+|[：]",
        rf",[{re.escape(_CLOSERS)}]*\s+|[，、]",
        r"\s+(?=(?:and|but|or|nor|so|yet|because|although|though|while|when|where|which|who|that|if|unless|"
        r"until|since|after|before|than|as)\s)",
        r"\s+",
        r"(?=\w)",
    )
)
_ENDS = ("clause", "clause", "word", "word", "word")  # what ends at each kind of cut


@dataclass(frozen=True)
class Chunk:
    """A part of a text, and what ends with it: "paragraph", "sentence", "clause" or "word"."""

    text: str
    end: str


def split_text(text: str, longest: float, joined: float) -> tuple[Chunk, ...]:
    """Cut a text into chunks of at most ``longest`` seconds of speech, as far as can be told.

    Blank lines separate paragraphs; in a text without them, every line is one. Sentences of a paragraph share
    a chunk of up to ``joined`` seconds. One that is too long is cut at marks within it, then at conjunctions,
    then between words, and a word without end between its letters.
    """
    chunks: list[Chunk] = []
    for paragraph in _paragraphs(text):
        parts = [part for sentence in split_sentences(paragraph) for part in _fit(sentence, longest)]
        chunks += _merged(parts, joined)
        chunks[-1] = replace(chunks[-1], end="paragraph")
    return _spoken(chunks)


def fit_turns(turns: Iterable[Turn], longest: float, joined: float) -> tuple[Turn, ...]:
    """Turns of at most ``longest`` seconds: those that are longer become several, with short pauses."""
    fitted = []
    for turn in turns:
        *before, last = split_text(turn.text, longest, joined) or (Chunk(turn.text, "paragraph"),)
        fitted += [replace(turn, text=chunk.text, pause=PAUSES[chunk.end]) for chunk in before]
        fitted.append(replace(turn, text=last.text))
    return tuple(fitted)


def text_turns(
    text: str, longest: float, joined: float, speaker: int = 0, pauses: float = 1.0
) -> tuple[Turn, ...]:
    """A long text as turns of one speaker, with ``pauses`` times the usual after sentences and paragraphs."""
    chunks = split_text(text, longest, joined)
    turns = [Turn(chunk.text, speaker, pause=pauses * PAUSES[chunk.end]) for chunk in chunks]
    return (*turns[:-1], replace(turns[-1], pause=0.0)) if turns else ()


def split_sentences(text: str) -> list[str]:
    """The sentences of a paragraph, without the white space between them."""
    sentences, begin = [], 0
    for match in _END.finditer(text):
        if match[0][0] in _WIDE_ENDS or _ends(text[begin : match.end()], text[match.end() :].lstrip()):
            sentences.append(text[begin : match.end()].strip())
            begin = match.end()
    return [*sentences, *([rest] if (rest := text[begin:].strip()) else [])]


def _ends(sentence: str, following: str) -> bool:
    """Whether a mark that ends ``sentence``, white space after it, is the end of it."""
    start = following.lstrip(_OPENERS + " \t\n")
    if not start:
        return True
    if start[0].islower():
        return False
    word = sentence.rstrip(_CLOSERS + "*_").split()[-1].lstrip(_OPENERS)
    if not word.endswith(".") or word.endswith(".."):
        return True
    word, next_word = word[:-1].casefold(), re.split(r"\W", start, maxsplit=1)[0].casefold()
    if word in _GO_ON or (word.isdecimal() and sentence.split()[0].lstrip(_OPENERS) == f"{word}."):
        return False  # Dr. Smith; 1. Boil the water
    if word in _MAY_END or _INITIALS.fullmatch(word):
        return next_word in _STARTERS
    return True


def _paragraphs(text: str) -> list[str]:
    parts = _PARAGRAPHS.split(text) if _PARAGRAPHS.search(text.strip()) else text.splitlines()
    return [part.strip() for part in parts if part.strip()]


def _fit(sentence: str, longest: float) -> Iterator[Chunk]:
    """A sentence as parts of at most ``longest`` seconds, of similar lengths."""
    for text, end in _halves(sentence, longest, "sentence"):
        yield Chunk(text, end)


def _halves(text: str, longest: float, end: str) -> Iterator[tuple[str, str]]:
    if expected_seconds(text) <= longest or len(text) < 2:
        yield text, end
        return
    cut, kind = _cut(text)
    yield from _halves(text[:cut].rstrip(), longest, kind)
    yield from _halves(text[cut:].lstrip(), longest, end)


def _cut(text: str) -> tuple[int, str]:
    """Where to cut a text in two, at the best place near its middle, and what ends there."""
    middle, reach = len(text) / 2, len(text) / 4  # a cut further from the middle leaves a stub
    for pattern, kind in zip(_CUTS, _ENDS):
        cuts = (match.end() for match in pattern.finditer(text))
        if near := [cut for cut in cuts if abs(cut - middle) <= reach]:
            return min(near, key=lambda cut: abs(cut - middle)), kind
    return len(text) // 2, "word"


def _merged(parts: list[Chunk], longest: float) -> list[Chunk]:
    """Neighbouring parts joined as long as they fit."""
    merged: list[Chunk] = []
    for part in parts:
        if merged and expected_seconds(joined := _joined(merged[-1].text, part.text)) <= longest:
            merged[-1] = Chunk(joined, part.end)
        else:
            merged.append(part)
    return merged


def _joined(left: str, right: str) -> str:
    # scripts without spaces have none between sentences either
    return f"{left}{right}" if left.rstrip(_CLOSERS)[-1:] in (*_WIDE_ENDS, "，", "、") else f"{left} {right}"


def _spoken(chunks: list[Chunk]) -> tuple[Chunk, ...]:
    """The chunks; what can't be said alone, such as a row of stars, goes to the chunk before or after it."""
    spoken: list[Chunk] = []
    waiting = ""
    for chunk in chunks:
        text = " ".join(f"{waiting} {chunk.text}".split())
        waiting = ""
        if any(c.isalnum() for c in chunk.text):
            spoken.append(Chunk(text, chunk.end))
        elif spoken:
            spoken[-1] = Chunk(f"{spoken[-1].text} {text}", chunk.end)
        else:
            waiting = text
    return (*spoken, *([Chunk(waiting, "paragraph")] if waiting else []))
