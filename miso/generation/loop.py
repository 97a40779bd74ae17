"""The frame loop: prefill the prompt once, then draw one frame of codes after another.

The commands, the nodes and the tests all use this loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.hidden import Hidden
from ..codes.takes import Span, Take, join_spans
from ..errors import MisoError
from ..model.networks import Backbone
from ..model.sampling import Sampling, uniforms
from ..text.conditioning import Prompt, frame_rows, frames_of_take
from .depth import DepthSampler, check_stages, depth_source
from .frame import FrameState
from .paths import borrow_frame, needs_pytorch, pick_path
from .prompt_cache import prefill_history


@dataclass(frozen=True, eq=False)
class Frame:
    """One column of every take."""

    index: int
    codes: Tensor  # [B, K] on the CPU; those of an ended take mean nothing
    running: Tensor  # [B] whether the take goes on; the frame is part of it then


@dataclass(frozen=True, eq=False)
class FrameInFlight:
    """A frame on its way to the host."""

    index: int
    codes: Tensor  # [B, K]
    log_p: Tensor  # [B]
    hidden: Tensor | None  # [B, D]
    arrived: torch.cuda.Event | None  # None: already there

    @staticmethod
    def send(index: int, codes: Tensor, log_p: Tensor, hidden: Tensor | None = None) -> FrameInFlight:
        """Start copying a frame to the CPU."""
        rows = [codes, log_p, *([] if hidden is None else [hidden])]
        arrived = None
        if codes.device.type != "cuda":
            rows = [row.cpu() for row in rows]
        else:
            pinned = [torch.empty(row.shape, dtype=row.dtype, pin_memory=True) for row in rows]
            rows = [buffer.copy_(row, non_blocking=True) for buffer, row in zip(pinned, rows)]
            arrived = torch.cuda.Event()
            arrived.record()
        return FrameInFlight(index, rows[0], rows[1], rows[2] if len(rows) > 2 else None, arrived)

    def wait(self) -> None:
        """Wait until it is there."""
        if self.arrived is not None:
            self.arrived.synchronize()

    def take(self, take: int, index: int) -> FrameInFlight:
        """What it has of one take, for which it is the frame ``index``."""
        one = slice(take, take + 1)
        hidden = None if self.hidden is None else self.hidden[one]
        return FrameInFlight(index, self.codes[one], self.log_p[one], hidden, self.arrived)


def frames_late(device: torch.device) -> int:
    """How many frames late the host reads codes: on a GPU, so that it never waits for the one in flight."""
    return 2 if device.type == "cuda" else 0


class FrameLoop:
    """An iterator of ``Frame``. ``codes`` and ``hidden`` are at any time what has been sampled so far.

    There is one take for each of ``seeds``, all from one ``prompt``, which is prefilled once.
    (``Conditioning.prompt`` leaves room for the frames.) ``prefix``, codes of one take, is prefilled after
    the prompt, and every take continues it; with the seed of its own run it continues as that run did.
    ``max_frames`` counts the frames after the prefix, of which the first ``min_frames`` can't end a take.
    ``path`` is ``auto`` or one of ``paths.PATHS``.

    If the caller stops iterating early, takes still running have the stop reason ``interrupted``.

    The codes of a seed don't depend on the other takes, nor on whether frames were a prefix, except for
    rounding of the logits at other batch sizes: in fp32, a code changes if its uniform number is within about
    1e-6 of a boundary.

    Raises MisoError if there are no takes or frames to sample, the parts don't fit each other, the
    prefix doesn't fit the model, the rows exceed the model's positions, or the path can't be used.
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
        min_frames: int = 0,
    ):
        self.backbone, self.depth, self.prompt, self.sampling = backbone, depth, prompt, sampling
        self.seeds, self.max_frames, self.min_frames = list(seeds), max_frames, min_frames
        self.config, self.device = backbone.config, backbone.codebook0_head.weight.device
        self._check()
        self._prefix = self._frames_of(prefix)  # [P, K]
        self._prefix_take = Take() if prefix is None else prefix.takes[0]
        self.first = len(self._prefix)  # index of the first frame to be sampled
        self._check_positions()
        self.path, self.because = pick_path(
            path, backbone, depth, len(seeds), needs_pytorch(sampling, depth.sampling, min_frames)
        )
        self._u = uniforms(self.seeds, self.first + max_frames, self.config.codebooks)  # [B, F, K]

        # What has been sampled, on the CPU: a tensor for each frame.
        self._codes: list[Tensor] = []  # [B, K]
        self._log_p: list[Tensor] = []  # [B]
        self._hidden: list[Tensor] | None = [] if keep_hidden else None  # [B, D]
        self._prefix_hidden: Tensor | None = None  # [1, P, D]
        self._running = torch.ones(len(seeds), dtype=torch.bool)
        self._lengths = torch.full((len(seeds),), self.first)
        self._ended: dict[int, str] = {}  # takes that were ended from outside, with the stop reason
        self.finished = False
        self._lag = frames_late(self.device)
        self._frames = self._run()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def end(self, take: int, stop: str) -> None:
        """End a take after the frames so far, for a reason of ``takes.STOPS``."""
        self._running[take] = False
        self._ended[take] = stop

    def close(self) -> None:
        """End the run, and return its recorded frame to the backbone before the loop is garbage-collected."""
        self._frames.close()

    def _run(self) -> Generator[Frame, None, None]:
        first, end, prompt_rows = self.first, self.first + self.max_frames, len(self.prompt.rows)
        takes = len(self.seeds)
        with borrow_frame(
            self.path, self.backbone, self.depth, self.sampling, takes, prompt_rows + end, end
        ) as frame:
            self.prefill(frame.state)
            in_flight: deque[FrameInFlight] = deque()
            for t in range(first, end):
                frame(prompt_rows + t if self.path == "plain" else None)
                in_flight.append(self._fetch(frame.state, t))
                # Yield the first frame before launching the second: lower first-sound latency.
                lag = self._lag if first < t < end - 1 else 0
                while len(in_flight) > lag:
                    sampled = self.receive(in_flight.popleft())
                    if not sampled.running.any():
                        return
                    yield sampled

    @torch.inference_mode()
    def prefill(self, state: FrameState) -> None:
        """Run the backbone over prompt and prefix, all rows but the last; the first frame reads that one.

        Rows are computed for one take, and their keys and values copied to the others. Public, as ``receive``
        is, for what drives a loop from outside: ``BatchLoop``, and benchmarks.
        """
        cache = state.cache.takes(0, 1)
        done = prefill_history(self.backbone, self.prompt, cache)
        prefix_rows, prefix_mask = frame_rows(self._prefix, self.config.codebooks)
        rows = torch.cat((self.prompt.rows[done:], prefix_rows))[None]  # [1, S, K+1]
        mask = torch.cat((self.prompt.mask[done:], prefix_mask))[None]
        x = self.backbone.embed(rows, mask)  # [1, S, D]
        last = done + rows.shape[1] - 1
        if done < last:
            positions = torch.arange(done, last, device=self.device)
            y = self.backbone(x[:, :-1], positions, cache, window=last)
            if self._hidden is not None and self.first:
                self._prefix_hidden = y[:, -self.first :].cpu()
        state.cache.spread(last)
        state.x.copy_(x[:, -1:])
        state.codes[: self.first] = self._prefix[:, None].to(self.device)
        state.position.fill_(last)
        state.counter.fill_(self.first)
        state.least.fill_(self.first + self.min_frames)
        state.u[:, : self._u.shape[1]] = self._u.to(self.device)

    def _fetch(self, state: FrameState, t: int) -> FrameInFlight:
        hidden = state.hidden[t] if self._hidden is not None else None
        return FrameInFlight.send(t, state.codes[t], state.log_p[t], hidden)

    def receive(self, frame: FrameInFlight) -> Frame:
        """Wait for a frame and store it; ``finished`` is whether it was the last.

        A frame of zeros alone ends its take and isn't part of it.
        """
        frame.wait()
        self._running &= frame.codes.ne(0).any(1)
        self._lengths[self._running] = frame.index + 1
        if self._running.any():
            self._codes.append(frame.codes)
            self._log_p.append(frame.log_p)
            if self._hidden is not None and frame.hidden is not None:
                self._hidden.append(frame.hidden)
        last = frame.index + 1 == self.first + self.max_frames
        self.finished = last or not bool(self._running.any())
        return Frame(frame.index, frame.codes, self._running.clone())

    @property
    def codes(self) -> Codes:
        """All frames so far, with the prefix, and each take's provenance."""
        tensor = self._prefix.T.expand(len(self.seeds), -1, -1)  # [B, K, P]
        if self._codes:
            tensor = torch.cat((tensor, torch.stack(self._codes, 2)), 2)
        source = {
            "model": self.backbone.fingerprint,
            "sampling": self.sampling.described(),
            **depth_source(self.backbone.fingerprint, self.depth),
        }
        return Codes(
            tensor,
            self._lengths,
            self.config.codec,
            self.config.frame_rate,
            self.config.codebook_size,
            self._takes(),
            source,
        )

    def _takes(self) -> tuple[Take, ...]:
        frames = len(self._codes)
        log_p = torch.stack(self._log_p) if frames else torch.zeros(0, len(self.seeds))  # [T, B]
        sampled = torch.arange(frames)[:, None] < self._lengths - self.first  # [T, B]
        means = (log_p * sampled).sum(0) / sampled.sum(0)  # NaN where nothing was sampled
        line, takes = self.prompt.line, []
        for i, (seed, running, length, mean) in enumerate(
            zip(self.seeds, self._running.tolist(), self._lengths.tolist(), means.tolist())
        ):
            stop = self._ended.get(i, "eos") if not running else "limit" if self.finished else "interrupted"
            spans = (Span(self.first, length, line.text, line.speaker),) if length > self.first else ()
            given = self._prefix_take
            joined = join_spans(given.spans, spans)
            takes.append(Take(seed, stop, joined, mean if spans else None, given.words))
        return tuple(takes)

    @property
    def hidden(self) -> Hidden:
        """The hidden states from which the frames in ``codes`` were drawn.

        Raises MisoError if the loop was made without ``keep_hidden``.
        """
        if self._hidden is None:
            raise MisoError("The hidden states of this run were not kept.", "Sample with keep_hidden.")
        takes, dim = len(self.seeds), self.config.backbone.dim
        parts = [] if self._prefix_hidden is None else [self._prefix_hidden.expand(takes, -1, -1)]
        parts += [torch.stack(self._hidden, 1)] if self._hidden else []
        tensor = torch.cat(parts, 1) if parts else torch.empty(takes, 0, dim)
        return Hidden(tensor, self._lengths.clone(), self.backbone.fingerprint)

    def _check(self) -> None:
        if not self.seeds:
            raise MisoError("There are no takes to make.", "Use 1 or more.", input="takes")
        if self.max_frames < 1:
            raise MisoError(
                f"The limit is {self.max_frames} frames.",
                "Allow at least one frame (0.08 s).",
                input="max_seconds",
            )
        check_stages(self.config, self.depth.decoder.config)

    def _frames_of(self, prefix: Codes | None) -> Tensor:
        """The frames [P, K] of the prefix."""
        if prefix is None:
            return torch.empty(0, self.depth.codebooks, dtype=torch.int64)
        frames = frames_of_take(prefix, self.config, "prefix")
        if prefix.codebooks != self.depth.codebooks:
            raise MisoError(
                f"Use as many codebooks in both: the prefix has {prefix.codebooks} codebooks; the depth "
                f"decoder has {self.depth.codebooks}.",
                input="prefix",
            )
        return frames

    def _check_positions(self) -> None:
        if (rows := len(self.prompt.rows) + self.first + self.max_frames) > self.config.positions:
            raise MisoError(
                "Lower max_seconds, or shorten the prompt or the prefix: together they are "
                f"{rows} rows; the model has {self.config.positions} positions.",
                input="max_seconds",
            )
