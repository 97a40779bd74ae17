"""Conversations: what was said with its exact codes, kept in one file to be continued another day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.takes import take_from_json, take_to_json
from ..errors import MisoError
from ..files import open_tensors, parse_json, read_header, write_tensors
from ..limits import MAX_IDS
from .conditioning import Segment
from .script import MAX_SPEAKER

FORMAT = "miso.conversation/1"


@dataclass(frozen=True, eq=False)
class Conversation:
    """Segments with codes of one codec, voice prompts first, and the numbers of the names of speakers."""

    segments: tuple[Segment, ...] = ()
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Seconds of what was said, without voice prompts."""
        return sum(s.codes.seconds[0] for s in self.segments if s.codes is not None and not s.voice)

    def save(self, path: str | Path, extra: Mapping[str, str] | None = None) -> None:
        """Write a .safetensors file, with ``extra`` metadata."""
        tensors: dict[str, Tensor] = {}
        described = []
        for i, segment in enumerate(self.segments):
            if (codes := segment.codes) is None or codes.batch != 1:
                raise MisoError(f"Segment {i + 1} of the conversation has no codes of one take.")
            tensors[str(i)] = codes.take(0).packed()[0]
            described.append(
                {
                    "text": segment.text,
                    "speaker": segment.speaker,
                    "voice": segment.voice,
                    "codec": codes.codec,
                    "frame_rate": codes.frame_rate,
                    "codebook_size": codes.codebook_size,
                    "take": take_to_json(codes.takes[0]),
                    "source": dict(codes.source),
                }
            )
        about = {"segments": described, "names": dict(self.names)}
        write_tensors(path, tensors, {**(extra or {}), "format": FORMAT, "about": json.dumps(about)})

    @staticmethod
    def load(path: str | Path) -> Conversation:
        """Read a file written by ``save``. Raises MisoError for any other file and for a damaged one."""
        metadata, entries = read_header(path)
        name = Path(path).name
        if metadata.get("format") != FORMAT:
            raise MisoError(
                f"{name} is no conversation.",
                "Save Conversation makes such a file (say --conversation on the command line).",
            )
        try:
            about = parse_json(metadata["about"], "The description")
            if entries.keys() != {str(i) for i in range(len(about["segments"]))}:
                raise MisoError("It has other segments than it describes.")
            for entry in entries.values():
                if entry.dtype not in ("I16", "I32") or len(entry.shape) != 2:
                    raise MisoError(f"A segment is {entry.dtype} {list(entry.shape)}.")
            if sum(entry.end - entry.start for entry in entries.values()) > 4 * MAX_IDS:
                raise MisoError("It is too large.")
            with open_tensors(path) as file:
                segments = [
                    _segment(described, file.get_tensor(str(i)))
                    for i, described in enumerate(about["segments"])
                ]
            return Conversation(tuple(segments), _checked_names(about["names"]))
        except (KeyError, TypeError, AttributeError, MisoError) as e:
            problem = e.problem if isinstance(e, MisoError) else f"{type(e).__name__}: {e}"
            raise MisoError(
                f"The conversation in {name} is damaged ({problem}).", "Save it again, or restore a copy."
            ) from e


def _segment(described: dict, tensor: Tensor) -> Segment:
    text, speaker, voice = described["text"], described["speaker"], described["voice"]
    if not isinstance(text, str) or type(voice) is not bool or not _is_speaker(speaker):
        raise MisoError("A segment needs a text and the number of a speaker.")
    codes = Codes(
        tensor[None],
        torch.tensor([tensor.shape[1]]),
        described["codec"],
        described["frame_rate"],
        described["codebook_size"],
        (take_from_json(described["take"]),),
        described["source"],
    )
    return Segment(text, speaker, codes, voice)


def _checked_names(names: dict) -> dict[str, int]:
    if not all(isinstance(name, str) and _is_speaker(number) for name, number in names.items()):
        raise MisoError("A name has no number of a speaker.")
    return dict(names)


def _is_speaker(number: object) -> bool:
    return type(number) is int and 0 <= number <= MAX_SPEAKER
