"""Takes as sound files that the page can play."""

import contextlib
import functools
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

import folder_paths
import torch
from torch import Tensor

from ..miso.audio.files import write_audio
from ..miso.checkpoints.find import BUNDLED
from ..miso.codes.codes import Codes
from ..miso.vocoders import DEFAULT, decode_codes
from ..miso.vocoders.source_filter import inspect_source_filter
from .memory import Part, on_device, progress, vocoder_part

FOLDER = "miso"  # in ComfyUI's temp folder, which ComfyUI empties when it starts
NO_VOCODER = "no vocoder of theirs comes with the pack"  # see ``other_codec``
LIMIT = 500_000_000  # bytes of sounds in it, about four hours of speech
# a name for each vocoder, so that a block that runs again finds the files of its last run
_names: WeakKeyDictionary[Part, str] = WeakKeyDictionary()


def sound_file(take: Codes, vocoder: Part) -> dict:
    """A mono FLAC of one take in the temp folder, decoded unless it is there already.

    Returns what ``/view`` needs: {filename, subfolder, type}.
    """
    name = _names.setdefault(vocoder, uuid.uuid4().hex)
    about = f"{name} {take.codec} {list(take.tensor.shape)}".encode()
    digest = hashlib.sha256(about + take.tensor.contiguous().numpy().tobytes()).hexdigest()

    def decode() -> tuple[Tensor, int]:
        (loaded,) = on_device(vocoder)
        return decode_codes(loaded, take, progress()).waveform[0], loaded.sample_rate

    return _file(digest, decode)


@functools.cache
def bundled_vocoder(codec: str) -> Part | None:
    """The vocoder that comes with the pack, if it is for codes of ``codec``."""
    path = BUNDLED / "nano-vocoder.safetensors"
    if inspect_source_filter(path).codec_id != codec:
        return None
    return vocoder_part(DEFAULT, path)


def decoded_file(pcm: bytes, sample_rate: int) -> dict:
    """The same of sound that is decoded already: 16-bit little-endian samples."""
    digest = hashlib.sha256(pcm + str(sample_rate).encode()).hexdigest()
    samples = torch.frombuffer(bytearray(pcm), dtype=torch.int16).float() / 32767
    return _file(digest, lambda: (samples[None], sample_rate))


def _file(digest: str, decode: Callable[[], tuple[Tensor, int]]) -> dict:
    """The file of this digest, written unless it is there already."""
    path = Path(folder_paths.get_temp_directory(), FOLDER, f"{digest[:32]}.flac")
    if path.is_file():
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # used now, as old as before
    else:
        write_audio(path, *decode())
        _prune(path.parent)
    return {"filename": path.name, "subfolder": FOLDER, "type": "temp"}


def _prune(folder: Path) -> None:
    """Remove the least recently used sounds beyond ``LIMIT`` bytes: a server may run for weeks."""
    used = []
    for path in folder.glob("*.flac"):
        with contextlib.suppress(OSError):  # another run removed it
            used.append((path.stat().st_atime, path.stat().st_size, path))
    total = 0
    for _, size, path in sorted(used, reverse=True):
        total += size
        if total > LIMIT:
            path.unlink(missing_ok=True)
