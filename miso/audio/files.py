"""Mono sound files, read and written with PyAV."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import torch
from torch import Tensor

from ..errors import MisoError, missing_package
from ..files import open_regular, replacing
from ..limits import MAX_RATE, MAX_SAMPLES

if TYPE_CHECKING:
    from av.container import InputContainer

CODECS = {".flac": "flac", ".wav": "pcm_s16le", ".mp3": "libmp3lame", ".opus": "libopus"}


def check_suffix(path: str | Path) -> None:
    """Raise MisoError if ``write_audio`` can't write a file with this suffix."""
    if Path(path).suffix.lower() not in CODECS:
        raise MisoError(
            f"'{Path(path).name}' has no suffix of a sound file that can be written.",
            f"Use one of {', '.join(CODECS)}.",
            input="output",
        )


def write_audio(
    path: str | Path, wave: Tensor, sample_rate: int, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a mono wave [N] or [1, N] in [-1, 1]; the suffix chooses 16-bit FLAC or WAV, MP3 or Opus.

    The same samples give the same bytes. ``metadata`` becomes tags of the file (with ComfyUI's ``workflow``,
    dropping the file on the graph restores it). Raises MisoError for another suffix or if the file can't be
    written.
    """
    av = _import_av()
    path, wave = Path(path), wave.reshape(-1)
    check_suffix(path)
    # what is no number becomes silence: as an integer it would be anything
    samples = (wave.detach().cpu().float().nan_to_num(0) * 32768).round().clamp(-32768, 32767).to(torch.int16)
    with replacing(path) as temporary:
        try:
            with av.open(str(temporary), "w") as file:
                file.metadata.update(metadata or {})
                stream = file.add_stream(CODECS[path.suffix.lower()], rate=sample_rate, layout="mono")
                for part in samples.split(sample_rate):
                    frame = av.AudioFrame.from_ndarray(part[None].numpy(), format="s16", layout="mono")
                    frame.sample_rate = sample_rate
                    file.mux(stream.encode(frame))
                file.mux(stream.encode(None))
        except (av.error.FFmpegError, OSError) as e:
            raise MisoError(
                f"{path} can't be written: {e.strerror or e}.",
                "Choose another place or format, or free some space.",
                input="output",
            ) from e


def read_audio(path: str | Path) -> tuple[Tensor, int]:
    """Read any file that FFmpeg reads, mixed to mono; returns samples [N] in float32 and the sample rate.

    Raises MisoError if it can't be read as sound, is empty, or holds more than ``MAX_SAMPLES``.
    """
    av = _import_av()
    with open_regular(Path(path)):
        pass
    try:
        with open_sound(str(path)) as file:
            stream = file.streams.audio[0]
            rate = getattr(stream, "rate", None) or 0  # which a file may lack
            if not 1 <= rate <= MAX_RATE:
                raise MisoError(f"{path} has a sample rate of {rate} Hz.", "Choose another file.")
            parts, samples = [], 0
            # channels stay apart and are averaged here, as the graph does: FFmpeg's own mono is louder
            resampler = av.AudioResampler(format="fltp", rate=rate)
            for frame in itertools.chain(file.decode(stream), [None]):  # None: the rest of its buffer
                for part in resampler.resample(frame):
                    parts.append(part.to_ndarray().mean(0))
                    samples += len(parts[-1])
                if samples > MAX_SAMPLES:
                    raise MisoError(
                        f"{path} is too long: over {MAX_SAMPLES / rate / 60:,.0f} minutes.",
                        "Cut it into shorter ones.",
                    )
    except (av.error.FFmpegError, OSError, IndexError) as e:
        raise MisoError(
            f"{path} can't be read as sound ({getattr(e, 'strerror', None) or e or type(e).__name__}).",
            "Choose a sound file.",
        ) from e
    if not sum(map(len, parts)):
        raise MisoError(f"{path} contains no sound.", "Choose another file.")
    return torch.cat([torch.from_numpy(part) for part in parts]), rate


def open_sound(source: str | BinaryIO) -> InputContainer:
    """A path or an open file as PyAV's container, to be closed; its tags may have any encoding.

    Playlists that name other files are not followed into the network.
    """
    av = _import_av()
    tags = {}
    if int(av.__version__.partition(".")[0]) < 19:  # later versions read any tag, and have no such option
        tags = {"metadata_errors": "replace"}
    return av.open(source, options={"protocol_whitelist": "file"}, **tags)


def _import_av():
    try:
        import av
    except ImportError:
        raise missing_package("av", "Reading and writing sound") from None
    return av
