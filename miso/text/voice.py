"""Voices: what a voice prompt is made of, in one file.

A voice's file is a codes file of one take that knows what it says. So `say --voice` and *Load Codes* read it
too, and any codes file of one take with its text is a voice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from ..codes.codes import Codes
from ..codes.takes import Span
from ..errors import MisoError
from .conditioning import Segment, text_said
from .script import MAX_SPEAKER, Turn, parse_script, speaker_names

FOLDER = "miso_voices"  # in the models folder
_CLOSE = 0.8  # likeness of two names, from which one may be the other misspelt: haert and heart


@dataclass(frozen=True, eq=False)
class Voice:
    """A name, codes of one take, and exactly what they say, by the number of a speaker."""

    name: str
    codes: Codes
    text: str
    speaker: int = 0

    @staticmethod
    def of(name: str, codes: Codes, transcript: str = "", speaker: int | None = None) -> Voice:
        """A voice of codes of one take; text and speaker are those that they carry, if none are given.

        Raises MisoError if there are several takes or none of it is speech, or the text is not known.
        """
        if codes.batch != 1 or not codes.frames:
            what = f"{codes.batch} takes" if codes.frames else "no speech"
            raise MisoError(
                f"A voice needs one take: there {'are' if codes.batch > 1 else 'is'} {what}.",
                "Put Pick Take in between." if codes.batch > 1 else "Use other codes.",
                input="codes",
            )
        spans = codes.takes[0].spans
        known = spans[0].speaker if spans else 0
        name = " ".join(name.split())
        if not name:
            raise MisoError("Give the voice a name.", input="name")
        return Voice(name, codes, text_said(codes, transcript), known if speaker is None else speaker)

    def segment(self) -> Segment:
        """The voice as a voice prompt."""
        return Segment(self.text, self.speaker, self.codes, voice=True)

    def save(self, path: str | Path) -> None:
        """Write a .safetensors file."""
        spans = (Span(0, self.codes.frames, self.text, self.speaker),)
        take = replace(self.codes.takes[0], spans=spans)
        codes = self.codes.like(self.codes.tensor, takes=[take])
        codes.save(path, {"voice": json.dumps({"name": self.name})})

    @staticmethod
    def load(path: str | Path) -> Voice:
        """Read a voice; its name is the file's. Raises MisoError if it is not one take that has its text."""
        path = Path(path)
        try:
            return Voice.of(path.stem, Codes.load(path))
        except MisoError as e:
            raise MisoError(
                f"{path.name} is no voice: {e.problem}",
                "Save Voice makes such a file (encode --text on the command line).",
            ) from e


def numbered(voices: Iterable[Voice], reserved: Collection[int] = ()) -> tuple[Voice, ...]:
    """The voices with a number each: their own, or the lowest free one if a voice before has it.

    ``reserved`` numbers are somebody else's.

    Raises MisoError if two have the same name.
    """
    result: list[Voice] = []
    for voice in voices:
        if any(voice.name.casefold() == other.name.casefold() for other in result):
            raise MisoError(
                f"Two voices are called '{voice.name}'.", "Give one of them another name.", input="voices"
            )
        taken = {other.speaker for other in result} | set(reserved)
        number = voice.speaker
        if number in taken:
            number = next(n for n in range(MAX_SPEAKER + 1) if n not in taken)
        result.append(replace(voice, speaker=number))
    return tuple(result)


def cast(names: Iterable[str], voices: Sequence[Voice]) -> dict[str, int]:
    """Numbers for the names of a script: of the voice of that name, otherwise of the next voice left over.

    Names for which no voice is left are not in it. The names of voices themselves are.
    """
    names, numbers = list(names), {voice.name: voice.speaker for voice in voices}
    wanted = {name.casefold() for name in names}
    own = {name.casefold() for name in numbers}
    left = [voice for voice in voices if voice.name.casefold() not in wanted]
    others = {name.casefold(): name for name in names if name.casefold() not in own}
    return numbers | {name: voice.speaker for name, voice in zip(others.values(), left)}


def doubtful_names(names: Mapping[str, int], speaking: Iterable[Voice], known: Iterable[str]) -> list[str]:
    """A question for each name of a script that has no voice, but is close to one of the ``known`` names."""
    voiced = {voice.speaker for voice in speaking}
    others = {name.casefold(): name for name in known}
    found = {
        name: get_close_matches(name.casefold(), others, 1, _CLOSE)
        for name, number in names.items()
        if number not in voiced and name.casefold() not in others
    }
    return [f"{name} is not a voice; did you mean {others[near[0]]}?" for name, near in found.items() if near]


def cast_script(
    script: str,
    voices: Iterable[Voice] = (),
    names: Mapping[str, int] | None = None,
    taught: Mapping[str, int] | None = None,
) -> tuple[tuple[Turn, ...], tuple[Voice, ...]]:
    """The turns of a script, and the voices of those who speak in it, with their numbers.

    ``names`` keep the numbers that they had in an earlier conversation; ``taught`` are the checkpoint's own
    voices by their names in lower case, which speak the lines of names that no voice has, unless somebody of
    ``names`` has their number. Raises MisoError for a bad script or two voices of one name.
    """
    voices, names, taught = numbered(voices), names or {}, taught or {}
    known = {voice.name: voice.speaker for voice in voices} | dict(names)
    whole = {name: number for name, number in taught.items() if "_" in name}  # "heart: ..." may be a text
    found = {name.casefold(): name for name in speaker_names(parse_script(script, whole | known))}
    mine = {name.casefold() for name in known}
    own = {
        name: taught[key]
        for key, name in found.items()
        if key in taught and key not in mine and taught[key] not in names.values()
    }
    voices = numbered(voices, own.values())
    kept = {name.casefold() for name in (*names, *own)}
    given = cast((name for key, name in found.items() if key not in kept), voices)
    turns = parse_script(script, given | own | dict(names))
    speaking = {turn.speaker for turn in turns}
    return turns, tuple(voice for voice in voices if voice.speaker in speaking)
