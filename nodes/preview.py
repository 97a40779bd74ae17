"""The live preview: what the sampler tells the browser while it samples, over ComfyUI's websocket.

Like ComfyUI's own previews, the events go to the browser that queued the prompt. Without one, nothing is sent
or decoded.

``miso.preview``, about ten times a second: ``{node, prompt_id, frame, frames_max, given, seconds, speed,
vocoder, stops, sound, note}``. ``frame`` and ``frames_max`` count new frames, ``given`` those of the prefix;
``seconds`` are all of them. ``speed`` is in multiples of real time, or null if the codes were kept from an
earlier run. ``vocoder``: whether there is one to hear them by. The last three are null until the end. Then
they are the stop reason of each take, the sound of take 0 as a file for ``/view`` (null without a vocoder),
and what seems wrong with the length ("" if nothing does).

The last event is also ``output.miso_preview`` of the ``executed`` event, for a ComfyUI that sends this again
when it reuses a block's result.

``miso.preview.audio``: ``{node, prompt_id, sequence, start, end, given, sample_rate, pcm}``. ``pcm`` is take
0 as base64 of 16-bit little-endian samples; ``start`` and ``end`` count samples, and the first ``given`` of
them belong to the prefix. The chunks concatenated are the sound of the finished take.
"""

import base64
import time
from collections.abc import Iterable

import torch
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor

from ..miso.codes.codes import Codes
from ..miso.codes.pace import pace_problem
from ..miso.errors import MisoError
from ..miso.generation.loop import Frame
from ..miso.vocoders import Stream, Vocoder
from ..miso.vocoders.vocoder import check_codes
from .listen import decoded_file
from .memory import Part, on_device, progress

COUNTS_EVERY = 0.1  # seconds between counters
DECODE_EVERY = 0.2  # seconds between chunks of sound,
GROUP = 4  # or frames, whichever comes first; the first frame is sent at once
KEPT_GROUP = 50  # frames of kept codes decoded at once
NOT_ENDED = {"stops": None, "sound": None, "note": None}


class _Sound:
    """Take 0 on its way to the browser: frames are decoded in groups and sent as chunks."""

    def __init__(self, stream: Stream, given: int):
        self.stream = stream
        self._about = {
            "given": given * stream.vocoder.frame_size,
            "sample_rate": stream.vocoder.sample_rate,
        }
        self._pcm = bytearray()  # all that was sent
        self._waiting: list[Tensor] = []  # frames [K] not decoded yet
        self._sequence = self._sent = 0
        self._decoded_at = 0.0

    def add(self, frame: Tensor) -> None:
        """Queue a frame [K]; decode and send if it is time."""
        self._waiting.append(frame)
        late = time.monotonic() - self._decoded_at >= DECODE_EVERY
        if not self._sent or len(self._waiting) >= GROUP or late:
            self.send()

    def send(self, frames: Iterable[Tensor] = (), flush: bool = False) -> None:
        """Decode and send the queued frames and these."""
        self._waiting += frames
        if _listener() is None:
            return  # keep the frames: a browser that reconnects gets them all at once
        self._decoded_at = time.monotonic()
        parts = []
        if self._waiting:
            parts.append(self.stream.push(torch.stack(self._waiting, 1)[None]))
            self._waiting.clear()
        if flush:
            parts.append(self.stream.flush())
        wave = torch.cat(parts, 2).flatten()
        if not len(wave):
            return
        start, self._sent = self._sent, self._sent + len(wave)
        pcm = (wave.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().astype("<i2").tobytes()
        self._pcm += pcm
        chunk = {
            "sequence": self._sequence,
            "start": start,
            "end": self._sent,
            "pcm": base64.b64encode(pcm).decode(),
        }
        send("miso.preview.audio", {**self._about, **chunk})
        self._sequence += 1

    def file(self) -> dict | None:
        """All of it as a file that the page can play again."""
        if self._waiting or not self._pcm:
            return None  # no browser was there
        return decoded_file(bytes(self._pcm), self._about["sample_rate"])


class Preview:
    """One run of the sampler as the browser sees it: at most ``frames_max`` frames after the ``first``.

    Without a ``stream`` only counters are sent, no sound.
    """

    def __init__(
        self,
        first: int,
        frames_max: int,
        frame_rate: float,
        stream: Stream | None = None,
        prefix: Codes | None = None,
    ):
        self._first, self._max, self._rate = first, frames_max, frame_rate
        self._began = self._counted = time.monotonic()
        self._sound = None if stream is None else _Sound(stream, first)
        self._prefix = [] if prefix is None else list(prefix.tensor[0].T)  # decoded with the first frame

    def frame(self, frame: Frame) -> None:
        """To be called after each frame of the loop."""
        now = time.monotonic()
        if now - self._counted >= COUNTS_EVERY or frame.index == self._first:
            self._counted = now
            self._send_counts(frame.index + 1 - self._first)
        if self._sound is not None and frame.running[0]:
            if self._prefix:
                self._sound.send([*self._prefix, frame.codes[0]])
                self._prefix = []
            else:
                self._sound.add(frame.codes[0])

    def end(self, codes: Codes) -> dict:
        """To be called after the last frame, however the loop ended; returns the block's ``ui``."""
        if self._sound is not None:
            self._sound.send(self._prefix, flush=True)
        return self._send_counts(codes.frames - self._first, _ended(codes, self._sound))

    def _send_counts(self, frames: int, ended: dict | None = None) -> dict:
        speed = frames / self._rate / max(time.monotonic() - self._began, 1e-6)
        counts = {
            "frame": frames,
            "frames_max": self._max,
            "given": self._first,
            "seconds": round((self._first + frames) / self._rate, 2),
            "speed": round(speed, 2),
            "vocoder": self._sound is not None,
        }
        return _send_shown({**counts, **(ended or NOT_ENDED)})


def _send_shown(counts: dict) -> dict:
    """Send the counters; returns them as a block's ``ui``."""
    send("miso.preview", counts)
    return {"miso_preview": ({"prompt_id": get_executing_context().prompt_id, **counts},)}


def send_kept(codes: Codes, first: int, frames_max: int, vocoder: Part | None) -> dict:
    """Send the counters of codes kept from an earlier run, and the sound of their first take.

    Returns the block's ``ui``.
    """
    if _listener() is None:
        return {}
    sound = None
    if vocoder is not None and codes.lengths[0]:
        (loaded,) = on_device(vocoder)
        take, report = codes.take(0), progress()
        sound = _Sound(stream_for(loaded, codes.codec, codes.frame_rate, codes.codebooks), first)
        for done in range(0, take.frames, KEPT_GROUP):
            report(done, take.frames)
            sound.send(take.tensor[0, :, done : done + KEPT_GROUP].T)
        sound.send(flush=True)
    counts = {
        "frame": codes.frames - first,
        "frames_max": frames_max,
        "given": first,
        "seconds": max(codes.seconds),
        "speed": None,
        "vocoder": vocoder is not None,
    }
    return _send_shown({**counts, **_ended(codes, sound)})


def _ended(codes: Codes, sound: _Sound | None) -> dict:
    """What is known when a run has ended."""
    stops = [take.stop for take in codes.takes]
    file = None if sound is None else sound.file()
    return {"stops": stops, "sound": file, "note": pace_problem(codes)}


def stream_for(vocoder: Vocoder, codec: str, frame_rate: float, codebooks: int) -> Stream:
    """A stream for one take of such codes.

    Raises MisoError before anything is sampled if the vocoder can't decode them.
    """
    try:
        check_codes(vocoder, torch.zeros(1, codebooks, 1, dtype=torch.int64), codec, frame_rate)
        return vocoder.stream()
    except MisoError as e:
        raise MisoError(e.problem, e.remedy, input="preview") from e


def _listener() -> str | None:
    """The connected browser that queued the running prompt, if there is one."""
    server = PromptServer.instance
    return server.client_id if server.client_id in server.sockets else None


def send(event: str, data: dict) -> None:
    """Tell the browser something about the running block, if there is one."""
    if (listener := _listener()) is not None:
        context = get_executing_context()
        about = {"node": context.node_id, "prompt_id": context.prompt_id}
        PromptServer.instance.send_sync(event, {**about, **data}, listener)
