"""Sources of speech: sound files, loose or in .tar files, and their transcripts."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import MisoError

SOUNDS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"}


class Job(NamedTuple):
    """A clip to process.

    Its sound is ``size`` bytes (0: all) at ``offset`` of the file ``path``, to be played ``speed`` times as
    fast.
    """

    path: Path
    offset: int
    size: int
    file: str
    text: str
    voice: str
    phonemes: str | None  # None: look them up
    speed: float

    @property
    def voice_name(self) -> str:
        return self.voice if self.speed == 1 else f"{self.voice}@{self.speed:g}"


def jobs_of(sources: Iterable[str | Path], speeds: Sequence[float], phonemes: bool) -> Iterator[Job]:
    """Jobs for all sounds with a transcript, at each of the speeds."""
    for source in map(Path, sources):
        if not source.exists():
            raise MisoError(
                f"{source} does not exist.",
                "Give a folder of sound files, or a .tar of one.",
                input="source",
            )
        sounds = dict(sounds_in(source))
        for file, text, voice, given in transcripts(source if source.is_dir() else source.parent, sounds):
            for speed in speeds if file in sounds else ():
                yield Job(*sounds[file], file, text, voice, None if phonemes and not given else given, speed)


def sounds_in(source: Path) -> Iterator[tuple[str, tuple[Path, int, int]]]:
    """Name of each sound, loose or in a .tar, with its file, offset and size."""
    files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    for path in files:
        if path.suffix == ".tar":
            with tarfile.open(path) as tar:
                yield from (
                    (m.name, (path, m.offset_data, m.size))
                    for m in tar
                    if m.isfile() and Path(m.name).suffix in SOUNDS
                )
        elif path.suffix.lower() in SOUNDS:
            yield path.relative_to(source).as_posix(), (path, 0, 0)


def transcripts(
    folder: Path, sounds: dict[str, tuple[Path, int, int]]
) -> Iterator[tuple[str, str, str, str]]:
    """File, text, voice and phonemes (possibly empty). The default voice is the name of the file's folder."""
    table = folder / "transcripts.tsv"
    if table.is_file():
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
            file, *fields = line.split("\t")
            if not fields:
                raise MisoError(
                    f"Line {number} of {table} has no text.",
                    "Each line needs: file, tab, text (optionally also seconds, voice and phonemes).",
                )
            voice = fields[2] if len(fields) > 2 else Path(file).parent.name or folder.name
            yield file, fields[0], voice, fields[3] if len(fields) > 3 else ""
        return
    found = False
    for file in sounds:
        words = (folder / file).with_suffix(".txt")
        if words.is_file():
            found = True
            yield file, words.read_text(encoding="utf-8").strip(), Path(file).parent.name or folder.name, ""
    if not found:
        raise MisoError(
            f"{folder} has no transcripts of its sounds.",
            "Add a transcripts.tsv (file, tab, text), or a .txt beside each sound.",
        )
