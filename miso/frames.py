"""The frame loop: prefill once, then one frame of codes after the other. The command, the nodes and the tests all run this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from .codes import Codes, Span, Take, join_spans
from .conditioning import Prompt, check_codes, frame_rows
from .depth import DepthSampler
from .errors import MisoError
from .hidden import Hidden
from .model import Backbone
from .sampling import Sampling, draw, uniforms


@dataclass(frozen=True, eq=False)
class Frame:
    """One column of every take: ``codes`` [B, K] on the CPU, and which takes were still ``running`` [B] (an ended take's codes mean nothing)."""

    index: int
    codes: Tensor
    running: Tensor


class FrameLoop:
    """An iterator of ``Frame``; what was made so far is at any time in ``codes`` and ``hidden``.

    One take a seed, all from one prompt (``Conditioning.prompt`` makes room for the frames), prefilled once. ``prefix`` (one take) is a
    beginning given beforehand: its frames are prefilled with the prompt and every take continues it; the same seed continues its own
    beginning as it went on before.
    ``max_frames`` counts the frames after the prefix. Whoever stops iterating early has interrupted the run, no more than that:
    the takes still running get the stop reason ``interrupted``.

    Codes of one seed don't depend on the takes beside it, nor on prefix or prefill, except for what floating point does to
    logits at other batch sizes: in fp32 a code changes if its uniform number falls within about 1e-6 of a boundary.
    """

    def __init__(self, backbone: Backbone, depth: DepthSampler, prompt: Prompt, *, seeds: list[int], max_frames: int,
                 sampling: Sampling = Sampling(), prefix: Codes | None = None, keep_hidden: bool = False):
        if not seeds:
            raise MisoError("There are no takes to make.", "Use 1 or more.", input="takes")
        if max_frames < 1:
            raise MisoError(f"The limit is {max_frames} frames.", "Allow at least one frame (0.08 s).", input="max_seconds")
        if backbone.fingerprint != depth.decoder.fingerprint:
            raise MisoError("The backbone and the depth decoder come from two checkpoints.", "Take both from one Load Miso Model.", input="depth")
        self.backbone, self.depth, self.sampling, self.seeds = backbone, depth, sampling, list(seeds)
        self.config, self.device = backbone.config, backbone.codebook0_head.weight.device
        self._given = torch.empty(0, depth.codebooks, dtype=torch.int64)  # [P, K] the prefix
        self._given_spans: tuple[Span, ...] = ()
        if prefix is not None:
            self._given = check_codes(prefix, self.config, "prefix")
            self._given_spans = prefix.takes[0].spans
            if prefix.codebooks != depth.codebooks:
                raise MisoError(f"The prefix has {prefix.codebooks} codebooks, the depth decoder makes {depth.codebooks}.",
                                "Let both have the same number.", input="prefix")
        self.first, self.max_frames = len(self._given), max_frames
        self.prompt = prompt
        if (rows := len(prompt.rows) + self.first + max_frames) > self.config.positions:
            raise MisoError(f"Prompt, prefix and frames to make are {rows} rows; the model has {self.config.positions} positions.",
                            "Ask for fewer seconds, or shorten the prompt or the prefix.", input="max_seconds")
        self._u = uniforms(self.seeds, self.first + max_frames, self.config.codebooks).to(self.device)
        self._running = torch.ones(len(seeds), dtype=torch.bool)
        self._lengths = torch.full((len(seeds),), self.first)
        self._finished = False
        self._made: list[Tensor] = []  # [B, K] each, on the CPU
        self._log_p: list[Tensor] = []  # [B] each, on the device: of codebook 0
        self._states: list[Tensor] | None = [] if keep_hidden else None  # [B, n, D] each, on the device
        # The end test reads codes this many frames late on a GPU, so that the host never waits for the frame in flight.
        self._lag = 2 if self.device.type == "cuda" else 0
        self._frames = self._run()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def _run(self) -> Iterator[Frame]:
        hidden, in_flight = self._prefill(), deque()
        end = self.first + self.max_frames
        for t in range(self.first, end):
            codes = self._draw(hidden, t)
            in_flight.append((t, *_to_host(codes)))
            while len(in_flight) > (self._lag if t + 1 < end else 0):
                frame = self._settle(*in_flight.popleft())
                if not frame.running.any():
                    self._finished = True
                    return
                yield frame
            if t + 1 < end:
                hidden = self._advance(codes, t)
        self._finished = True

    @torch.inference_mode()
    def _prefill(self) -> Tensor:
        """Hidden state [B, D] that the first new frame is drawn from; leaves the cache filled for all takes."""
        given, given_mask = frame_rows(self._given, self.config.codebooks)
        rows = torch.cat((self.prompt.rows, given))[None].to(self.device)
        mask = torch.cat((self.prompt.mask, given_mask))[None].to(self.device)
        self._start = len(self.prompt.rows)  # position of frame 0
        cache = self.backbone.transformer.cache(1, self._start + self.first + self.max_frames)
        positions = torch.arange(rows.shape[1], device=self.device)
        y = self.backbone(self.backbone.embed(rows, mask), positions, cache, window=rows.shape[1])
        takes = len(self.seeds)
        self._cache = cache.repeat(takes)
        self._positions = torch.arange(cache.capacity, device=self.device)
        if self._states is not None and self.first:
            self._states.append(y[:, self._start - 1:-1].expand(takes, -1, -1))
        return y[:, -1].expand(takes, -1)

    @torch.inference_mode()
    def _draw(self, hidden: Tensor, t: int) -> Tensor:
        """Codes [B, K] of frame t, still on the device. No host read."""
        u = self._u[:, t]
        if self._states is not None:
            self._states.append(hidden[:, None])
        logits = self.backbone.codebook0_head(hidden)
        c0 = draw(logits, u[:, 0], self.sampling, self.config.codebook_size)
        self._log_p.append(logits.float().log_softmax(-1).gather(1, c0[:, None])[:, 0])
        return self.depth(hidden, c0[:, None], u)

    @torch.inference_mode()
    def _advance(self, codes: Tensor, t: int) -> Tensor:
        """Feed frame t back: the hidden state [B, D] of frame t + 1. No host read."""
        at = self._start + t
        return self.backbone(self.backbone.embed_frame(codes), self._positions[at:at + 1], self._cache, window=at + 1)[:, -1]

    def _settle(self, t: int, codes: Tensor, arrived) -> Frame:
        """Take note of a frame that has reached the host. A frame of zeros alone ends its take and isn't part of it."""
        if arrived is not None:
            arrived.synchronize()
        self._running &= codes.ne(0).any(1)
        self._lengths[self._running] = t + 1
        if self._running.any():
            self._made.append(codes)
        return Frame(t, codes, self._running.clone())

    @property
    def codes(self) -> Codes:
        """All frames so far, the prefix included."""
        given = self._given.T.expand(len(self.seeds), -1, -1)
        tensor = torch.cat((given, torch.stack(self._made, 2)), 2) if self._made else given
        line, takes = self.prompt.line, []
        sampled = torch.arange(len(self._made))[:, None] < self._lengths - self.first  # [made, B]
        log_p = torch.stack(self._log_p[:len(self._made)]).cpu() if self._made else torch.zeros(0, len(self.seeds))
        means = (log_p * sampled).sum(0) / sampled.sum(0)  # NaN where nothing was sampled
        for seed, running, length, mean in zip(self.seeds, self._running.tolist(), self._lengths.tolist(), means.tolist()):
            stop = "eos" if not running else "limit" if self._finished else "interrupted"
            said = (Span(self.first, length, line.text, line.speaker),) if length > self.first else ()
            takes.append(Take(seed, stop, join_spans(self._given_spans, said), mean if said else None))
        source = {"model": self.backbone.fingerprint, "sampling": asdict(self.sampling), "depth_sampling": asdict(self.depth.sampling)}
        return Codes(tensor, self._lengths, self.config.codec, self.config.frame_rate, self.config.codebook_size,
                     tuple(takes), source)

    @property
    def hidden(self) -> Hidden:
        """The hidden states the frames in ``codes`` were drawn from; needs ``keep_hidden``."""
        if self._states is None:
            raise MisoError("The hidden states of this run were not kept.", "Sample with keep_hidden.")
        frames = self.first + len(self._made)
        tensor = torch.cat(self._states, 1)[:, :frames].cpu() if frames else torch.empty(len(self.seeds), 0, self.config.backbone.dim)
        return Hidden(tensor, self._lengths.clone(), self.backbone.fingerprint)


def _to_host(codes: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A copy on the CPU, and on CUDA the event after which it has arrived."""
    if codes.device.type != "cuda":
        return codes.cpu(), None
    host = torch.empty(codes.shape, dtype=codes.dtype, pin_memory=True).copy_(codes, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return host, event
