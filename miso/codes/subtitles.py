"""Subtitles of codes: a cue for each span that says something, or of a few words each where words are known.

Of several takes, the first.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from html import escape

from .codes import Codes
from .takes import Word

_CHARACTERS = 42  # of a cue: a line, as subtitles usually have it
_SECONDS = 4.0  # of a cue
_LEAST = 0.3  # seconds of a cue, where there is room: a word may be found to take no time
_GAP = 0.6  # seconds between words that end a cue


def subtitles(codes: Codes, names: Mapping[int, str] | None = None) -> str:
    """SubRip (.srt) of the first take, with the names of speakers, where there are ``names``."""
    cues: list[str] = []
    names = names or {}
    for span in codes.takes[0].spans:
        text = " ".join(span.text.split())
        if not text or span.end == span.start:
            continue
        start, end = (_time(frame / codes.frame_rate) for frame in (span.start, span.end))
        who = f"{names[span.speaker]}: " if span.speaker in names else ""
        cues.append(f"{len(cues) + 1}\n{start} --> {end}\n{who}{text}\n")
    return "\n".join(cues)


def word_srt(codes: Codes) -> str:
    """SubRip (.srt): a cue of a few words."""
    return "\n".join(
        f"{number}\n{_time(start)} --> {_time(end)}\n{' '.join(map(_line, cue))}\n"
        for number, (start, end, cue) in enumerate(_timed_cues(codes), 1)
    )


def word_vtt(codes: Codes) -> str:
    """WebVTT (.vtt): a cue of a few words, with the time of every word inside."""
    cues = ["WEBVTT\n"]
    for times in _timed_cues(codes):
        start, end = (_time(seconds, ".") for seconds in times[:2])
        last, words = start, []
        for word in times[2]:
            time = _time(word.start / codes.frame_rate, ".")
            tag = f"<{time}>" if last < time < end else ""  # within a cue, times must increase
            words.append(tag + escape(_line(word), quote=False))
            last = max(last, time)
        cues.append(f"{start} --> {end}\n{' '.join(words)}\n")
    return "\n".join(cues)


def word_labels(codes: Codes) -> str:
    """A label track of Audacity (.txt): start and end in seconds, and the word, with tabs between."""
    return "".join(
        f"{word.start / codes.frame_rate:.3f}\t{word.end / codes.frame_rate:.3f}\t{_line(word)}\n"
        for word in codes.takes[0].words
    )


def word_json(codes: Codes) -> str:
    """JSON: an object a word with text, start and end in seconds, confidence, and speaker where known."""
    words = []
    for word in codes.takes[0].words:
        seconds = {name: round(getattr(word, name) / codes.frame_rate, 4) for name in ("start", "end")}
        speaker = _speaker(codes, word)
        words.append(asdict(word) | seconds | ({} if speaker is None else {"speaker": speaker}))
    return json.dumps({"words": words}, ensure_ascii=False, indent=1) + "\n"


# kind -> what writes it; also the end of a file's name, except for labels, which are .txt
WORD_FORMATS: dict[str, Callable[[Codes], str]] = {
    "srt": word_srt,
    "vtt": word_vtt,
    "labels": word_labels,
    "json": word_json,
}


def _timed_cues(codes: Codes) -> Iterator[tuple[float, float, list[Word]]]:
    """Cues with their start and end in seconds. None is too short to be seen, and none overlaps the next."""
    cues, end = list(_cues(codes)), 0.0
    for cue, following in itertools.zip_longest(cues, cues[1:]):
        start = max(cue[0].start / codes.frame_rate, end)
        room = following[0].start / codes.frame_rate if following else math.inf
        end = max(cue[-1].end / codes.frame_rate, start + _LEAST)
        end = max(min(end, room), start + 1 / codes.frame_rate)
        yield start, end, cue


def _cues(codes: Codes) -> Iterator[list[Word]]:
    """The words of the first take in groups that are read at once."""
    cue: list[Word] = []
    for word in codes.takes[0].words:
        if cue and (_ends(cue[-1]) or not _fits(codes, cue, word)):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def _ends(word: Word) -> bool:
    """Whether a sentence ends with it."""
    return word.text.rstrip("\"'”’)]")[-1:] in tuple(".?!…")


def _fits(codes: Codes, cue: list[Word], word: Word) -> bool:
    """Whether a word goes into the cue before it."""
    letters = sum(len(_line(w)) + 1 for w in cue) + len(_line(word))
    seconds, gap = (
        (word.end - cue[0].start) / codes.frame_rate,
        (word.start - cue[-1].end) / codes.frame_rate,
    )
    same = _speaker(codes, word) == _speaker(codes, cue[-1])
    return same and letters <= _CHARACTERS and seconds <= _SECONDS and gap <= _GAP


def _speaker(codes: Codes, word: Word) -> int | None:
    middle = (word.start + word.end) / 2
    return next((s.speaker for s in codes.takes[0].spans if s.start <= middle < s.end), None)


def _line(word: Word) -> str:
    """Its text in one line."""
    return " ".join(word.text.split())


def _time(seconds: float, point: str = ",") -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
