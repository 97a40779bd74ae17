"""Subtitles of codes: a cue for each span that says something."""

from __future__ import annotations

from collections.abc import Mapping

from .codes import Codes


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


def _time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
