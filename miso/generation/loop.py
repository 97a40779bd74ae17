"""The frame loop: prefill once, then one frame of codes after the other. The command, the nodes and the tests all run this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..codes.codes import Codes, Span, Take, join_spans
from ..codes.hidden import Hidden
from ..errors import MisoError
from ..model.networks import Backbone
from ..model.sampling import Sampling, uniforms
from ..text.conditioning import Prompt, frame_rows, frames_of_take
from .depth import DepthSampler
from .frame import FrameState
from .paths import borrow_frame, pick_path


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
    the takes still running get the stop reason ``interrupted``. ``path`` forces one of ``paths.PATHS``.

    Codes of one seed don't depend on the takes beside it, nor on prefix or prefill, except for what floating point does to
    logits at other batch sizes: in fp32 a code changes if its uniform number falls within about 1e-6 of a boundary.
    """

    def __init__(
        self,
        backbone: Backbone,
        depth: DepthSampler,
        prompt: Prompt,
        *,
        seeds: list[int],
        max_frames: int,
        sampling: Sampling = Sampling(),
        prefix: Codes | None = None,
        keep_hidden: bool = False,
        path: str = "auto",
    ):
        if not seeds:
            raise MisoError("There are no takes to make.", "Use 1 or more.", input="takes")
        if max_frames < 1:
            raise MisoError(
                f"The limit is {max_frames} frames.",
                "Allow at least one frame (0.08 s).",
                input="max_seconds",
            )
        if backbone.fingerprint != depth.decoder.fingerprint:
            raise MisoError(
                "The backbone and the depth decoder come from two checkpoints.",
                "Take both from one Load Miso Model.",
                input="depth",
            )
        self.backbone, self.depth, self.sampling, self.seeds = backbone, depth, sampling, list(seeds)
        self.config, self.device = backbone.config, backbone.codebook0_head.weight.device
        self._given = torch.empty(0, depth.codebooks, dtype=torch.int64)  # [P, K] the prefix
        self._given_spans: tuple[Span, ...] = ()
        if prefix is not None:
            self._given = frames_of_take(prefix, self.config, "prefix")
            self._given_spans = prefix.takes[0].spans
            if prefix.codebooks != depth.codebooks:
                raise MisoError(
                    f"The prefix has {prefix.codebooks} codebooks, the depth decoder makes {depth.codebooks}.",
                    "Let both have the same number.",
                    input="prefix",
                )
        self.first, self.max_frames = len(self._given), max_frames
        self.prompt = prompt
        if (rows := len(prompt.rows) + self.first + max_frames) > self.config.positions:
            raise MisoError(
                f"Prompt, prefix and frames to make are {rows} rows; the model has {self.config.positions} positions.",
                "Ask for fewer seconds, or shorten the prompt or the prefix.",
                input="max_seconds",
            )
        self.path = pick_path(path, backbone, depth, len(seeds))
        self._u = uniforms(self.seeds, self.first + max_frames, self.config.codebooks)
        self._running = torch.ones(len(seeds), dtype=torch.bool)
        self._lengths = torch.full((len(seeds),), self.first)
        self._finished = False
        self._made: list[Tensor] = []  # [B, K] each, on the CPU, as all that is kept of a frame
        self._log_p: list[Tensor] = []  # [B] each
        self._states: list[Tensor] | None = [] if keep_hidden else None  # [B, D] each
        self._given_states: Tensor | None = None  # [1, P, D] those of the prefix
        # The end test reads codes this many frames late on a GPU, so that the host never waits for the frame in flight.
        self._lag = 2 if self.device.type == "cuda" else 0
        self._frames = self._run()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """End the run where it is, and give back what it was lent; else that happens when the loop is collected."""
        self._frames.close()

    def _run(self) -> Iterator[Frame]:
        start, end = len(self.prompt.rows), self.first + self.max_frames
        static = self.path != "plain"
        with borrow_frame(
            self.path, self.backbone, self.depth, self.sampling, len(self.seeds), start + end, end
        ) as frame:
            self.prefill(frame.state)
            in_flight = deque()
            for t in range(self.first, end):
                frame(None if static else start + t)
                in_flight.append((t, *self._fetch(frame.state, t)))
                # the first is handed on before the second begins: who plays it at once would wait behind that
                while len(in_flight) > (self._lag if self.first < t < end - 1 else 0):
                    settled = self._settle(*in_flight.popleft())
                    if not settled.running.any():
                        self._finished = True
                        return
                    yield settled
        self._finished = True

    @torch.inference_mode()
    def prefill(self, state: FrameState) -> None:
        """All rows but the last, for all takes at once; the last is what the first frame reads. For the loop itself, and to be timed."""
        given, given_mask = frame_rows(self._given, self.config.codebooks)
        rows, mask = (
            torch.cat((self.prompt.rows, given))[None],
            torch.cat((self.prompt.mask, given_mask))[None],
        )
        x, before = self.backbone.embed(rows, mask), rows.shape[1] - 1
        if before:
            y = self.backbone(
                x[:, :-1], torch.arange(before, device=self.device), state.cache.first(), window=before
            )
            state.cache.spread(before)
            if self._states is not None and self.first:
                self._given_states = y[:, before - self.first :].cpu()
        state.x.copy_(x[:, -1:])
        state.position.fill_(before)
        state.counter.fill_(self.first)
        state.u[:, : self._u.shape[1]] = self._u.to(self.device)

    def _fetch(self, state: FrameState, t: int) -> tuple[list[Tensor], torch.cuda.Event | None]:
        """Copies on the CPU of what frame t left, and on CUDA the event after which they have arrived."""
        tables = (state.codes, state.log_p, *([state.hidden] if self._states is not None else []))
        if self.device.type != "cuda":
            return [table[t].cpu() for table in tables], None
        rows = [
            torch.empty(table.shape[1:], dtype=table.dtype, pin_memory=True).copy_(
                table[t], non_blocking=True
            )
            for table in tables
        ]
        event = torch.cuda.Event()
        event.record()
        return rows, event

    def _settle(self, t: int, rows: list[Tensor], arrived: torch.cuda.Event | None) -> Frame:
        """Take note of a frame that has reached the host. A frame of zeros alone ends its take and isn't part of it."""
        if arrived is not None:
            arrived.synchronize()
        codes, log_p, *hidden = rows
        self._running &= codes.ne(0).any(1)
        self._lengths[self._running] = t + 1
        if self._running.any():
            self._made.append(codes)
            self._log_p.append(log_p)
            if self._states is not None:
                self._states += hidden
        return Frame(t, codes, self._running.clone())

    @property
    def codes(self) -> Codes:
        """All frames so far, the prefix included."""
        given = self._given.T.expand(len(self.seeds), -1, -1)
        tensor = torch.cat((given, torch.stack(self._made, 2)), 2) if self._made else given
        line, takes = self.prompt.line, []
        sampled = torch.arange(len(self._made))[:, None] < self._lengths - self.first  # [made, B]
        log_p = torch.stack(self._log_p) if self._made else torch.zeros(0, len(self.seeds))
        means = (log_p * sampled).sum(0) / sampled.sum(0)  # NaN where nothing was sampled
        for seed, running, length, mean in zip(
            self.seeds, self._running.tolist(), self._lengths.tolist(), means.tolist()
        ):
            stop = "eos" if not running else "limit" if self._finished else "interrupted"
            said = (Span(self.first, length, line.text, line.speaker),) if length > self.first else ()
            takes.append(Take(seed, stop, join_spans(self._given_spans, said), mean if said else None))
        source = {
            "model": self.backbone.fingerprint,
            "sampling": asdict(self.sampling),
            "depth_sampling": asdict(self.depth.sampling),
        }
        return Codes(
            tensor,
            self._lengths,
            self.config.codec,
            self.config.frame_rate,
            self.config.codebook_size,
            tuple(takes),
            source,
        )

    @property
    def hidden(self) -> Hidden:
        """The hidden states the frames in ``codes`` were drawn from; needs ``keep_hidden``."""
        if self._states is None:
            raise MisoError("The hidden states of this run were not kept.", "Sample with keep_hidden.")
        takes, dim = len(self.seeds), self.config.backbone.dim
        parts = [] if self._given_states is None else [self._given_states.expand(takes, -1, -1)]
        parts += [torch.stack(self._states, 1)] if self._states else []
        return Hidden(
            torch.cat(parts, 1) if parts else torch.empty(takes, 0, dim),
            self._lengths.clone(),
            self.backbone.fingerprint,
        )
