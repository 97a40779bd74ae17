"""Live playback: what the sampler tells the browser while it samples, over ComfyUI's own websocket.

Like ComfyUI's own previews, the events go to the browser that queued the prompt; without one nothing is sent or decoded.

``miso.preview``: ``{node, prompt_id, frame, frames_max, seconds, speed, stops}``, some ten times a second. ``speed`` is in times
real time, or null where nothing was sampled because the codes were kept; ``stops`` is null until the end, then the stop reason of each take.

``miso.preview.audio``: ``{node, prompt_id, sequence, start, end, given, sample_rate, pcm}``, take 0 as base64 of 16-bit samples,
little end first. ``start`` and ``end`` count samples; the first ``given`` of them are those of the prefix. Put together, the
chunks are the sound of the finished take.
"""

import base64
import time
from collections.abc import Iterable

import torch
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor

from ..miso.codes.codes import Codes
from ..miso.errors import MisoError
from ..miso.generation.loop import Frame
from ..miso.vocoders import Stream, Vocoder
from ..miso.vocoders.vocoder import check_codes
from .memory import Part, on_device, progress

COUNTS_EVERY = 0.1  # seconds
DECODE_EVERY = 0.2  # seconds, and
GROUP = 4  # frames: whichever comes first. The first frame goes out at once
KEPT_GROUP = 50  # frames decoded at once of codes that are all there


class Preview:
    """One run of the sampler, of at most ``frames_max`` after ``first``, as the browser sees it; counters alone without a ``vocoder``."""

    def __init__(
        self,
        first: int,
        frames_max: int,
        frame_rate: float,
        stream: Stream | None = None,
        prefix: Codes | None = None,
    ):
        self._about = _about()
        self._first, self._max, self._rate = first, frames_max, frame_rate
        self._began = self._counted = time.monotonic()
        self._stream, self._waiting = stream, []  # frames [K] of take 0 that are still to be decoded
        if stream is not None:
            self._sequence = self._sent = self._decoded_at = 0
            self._given = first * stream.vocoder.frame_size
            if prefix is not None:
                self._waiting = list(prefix.tensor[0].T)

    def frame(self, frame: Frame) -> None:
        """After each frame of the loop."""
        now = time.monotonic()
        if now - self._counted >= COUNTS_EVERY or frame.index == self._first:
            self._counted = now
            self._send_counts(frame.index + 1 - self._first)
        if self._stream is not None and frame.running[0]:
            self._waiting.append(frame.codes[0])
            if not self._sent or len(self._waiting) >= GROUP or now - self._decoded_at >= DECODE_EVERY:
                self.sound()

    def end(self, codes: Codes) -> None:
        """After the last frame, however the loop ended."""
        if self._stream is not None:
            self.sound(flush=True)
        self._send_counts(codes.frames - self._first, [take.stop for take in codes.takes])

    def _send_counts(self, made: int, stops: list[str] | None = None) -> None:
        seconds = made / self._rate
        _send(
            "miso.preview",
            {
                **self._about,
                "frame": made,
                "frames_max": self._max,
                "seconds": round(seconds, 2),
                "speed": round(seconds / max(time.monotonic() - self._began, 1e-6), 2),
                "stops": stops,
            },
        )

    def sound(self, frames: Iterable[Tensor] = (), flush: bool = False) -> None:
        """Decode and send take 0's frames [K] that have been waiting, and these."""
        self._waiting += frames
        if _listener() is None:
            return  # the frames wait: a browser that comes back gets them all at once
        self._decoded_at = time.monotonic()
        parts = []
        if self._waiting:
            parts.append(self._stream.push(torch.stack(self._waiting, 1)[None]))
            self._waiting.clear()
        if flush:
            parts.append(self._stream.flush())
        wave = torch.cat(parts, 2).flatten()
        if not len(wave):
            return
        start, self._sent = self._sent, self._sent + len(wave)
        pcm = (wave.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().astype("<i2").tobytes()
        _send(
            "miso.preview.audio",
            {
                **self._about,
                "sequence": self._sequence,
                "start": start,
                "end": self._sent,
                "given": self._given,
                "sample_rate": self._stream.vocoder.sample_rate,
                "pcm": base64.b64encode(pcm).decode(),
            },
        )
        self._sequence += 1


def send_kept(codes: Codes, first: int, frames_max: int, vocoder: Part | None) -> None:
    """The counters of a run whose codes were kept from an earlier one, and the sound of its first take."""
    if _listener() is None:
        return
    if vocoder is not None and codes.lengths[0]:
        take, report = codes.take(0), progress()
        shown = Preview(
            first,
            frames_max,
            codes.frame_rate,
            stream_for(*on_device(vocoder), codes.codec, codes.frame_rate, codes.codebooks),
        )
        for done in range(0, take.frames, KEPT_GROUP):
            report(done, take.frames)
            shown.sound(take.tensor[0, :, done : done + KEPT_GROUP].T)
        shown.sound(flush=True)
    _send(
        "miso.preview",
        {
            **_about(),
            "frame": codes.frames - first,
            "frames_max": frames_max,
            "seconds": max(codes.seconds),
            "speed": None,
            "stops": [take.stop for take in codes.takes],
        },
    )


def stream_for(vocoder: Vocoder, codec: str, frame_rate: float, codebooks: int) -> Stream:
    """A stream for one take of such codes, or what is wrong with it before anything is sampled."""
    try:
        check_codes(vocoder, torch.zeros(1, codebooks, 1, dtype=torch.int64), codec, frame_rate)
        return vocoder.stream()
    except MisoError as e:
        raise MisoError(e.problem, e.remedy, input="preview") from e


def _about() -> dict[str, str]:
    context = get_executing_context()
    return {"node": context.node_id, "prompt_id": context.prompt_id}


def _listener() -> str | None:
    """The connected browser that queued the running prompt, if there is one."""
    server = PromptServer.instance
    return server.client_id if server.client_id in server.sockets else None


def _send(event: str, data: dict) -> None:
    if (listener := _listener()) is not None:
        PromptServer.instance.send_sync(event, data, listener)
