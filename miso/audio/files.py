"""Sound files, mono, read and written by PyAV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MisoError, missing_package
from ..files import replacing

CODECS = {".flac": "flac", ".wav": "pcm_s16le", ".mp3": "libmp3lame", ".opus": "libopus"}


def write_audio(
    path: str | Path, wave: Tensor, sample_rate: int, metadata: Mapping[str, str] | None = None
) -> None:
    """Write wave [N] or [1, N] in [-1, 1] as 16-bit mono FLAC or WAV, MP3 or Opus, by the suffix of ``path``.

    The same samples give the same bytes. ``metadata`` goes into the file's tags (ComfyUI's ``workflow`` restores the graph).
    """
    av = _av()
    path, wave = Path(path), wave.reshape(-1)
    if path.suffix.lower() not in CODECS:
        raise MisoError(
            f"'{path.name}' has no suffix of a sound file that can be written.",
            f"Use one of {', '.join(CODECS)}.",
            input="output",
        )
    samples = (wave.detach().cpu().float() * 32768).round().clamp(-32768, 32767).to(torch.int16)
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
                "Choose another place or format, or free some room.",
                input="output",
            ) from e


def read_audio(path: str | Path) -> tuple[Tensor, int]:
    """Sound of any file FFmpeg reads, mixed to mono: ([N] float32, sample rate)."""
    av = _av()
    try:
        with av.open(str(path)) as file:
            stream = file.streams.audio[0]
            resampler = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
            parts = [r.to_ndarray()[0] for frame in file.decode(stream) for r in resampler.resample(frame)]
            parts += [r.to_ndarray()[0] for r in resampler.resample(None)]
            rate = stream.rate
    except (av.error.FFmpegError, OSError, IndexError) as e:
        raise MisoError(
            f"{path} can't be read as sound ({getattr(e, 'strerror', None) or e or type(e).__name__}).",
            "Choose a sound file.",
        ) from e
    wave = torch.cat([torch.from_numpy(p) for p in parts]) if parts else torch.empty(0)
    if not len(wave):
        raise MisoError(f"{path} holds no sound.", "Choose another file.")
    return wave, rate


def _av():
    try:
        import av
    except ImportError:
        raise missing_package("av", "Reading and writing sound") from None
    return av
