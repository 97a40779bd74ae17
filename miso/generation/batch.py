"""Lines said side by side, each alone: when one ends, the next takes its place while the others go on.

Continuous batching (Yu et al. 2022, Orca, OSDI) over the takes of one frame: a frame reads the weights once
for all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch

from ..codes.codes import Codes
from ..errors import MisoError
from ..model.networks import Backbone
from ..model.sampling import Sampling
from ..text.conditioning import Conditioning
from ..text.length import expected_seconds
from .depth import DepthSampler
from .frame import FrameState
from .loop import FrameInFlight, FrameLoop, frames_late
from .paths import borrow_frame, needs_pytorch, pick_path


@dataclass(frozen=True, eq=False)
class Line:
    """A line to be said. It hears only the segments of its own conditioning."""

    conditioning: Conditioning
    seed: int
    max_frames: int
    rows: int  # of its prompt; the prompt itself is made when its turn comes

    @property
    def expected(self) -> int:
        """About how many frames it will have."""
        text, rate = self.conditioning.line.text, self.conditioning.encoder.config.frame_rate
        return max(1, min(self.max_frames, round(expected_seconds(text) * rate)))


@dataclass(eq=False)
class _Saying:
    """A line in its slot. Its loop keeps its state and codes, but doesn't run."""

    number: int
    loop: FrameLoop
    drawn: int = 0  # frames


class BatchLoop:
    """An iterator over frames of all slots: each step returns the lines that ended with it, often none.

    A line is given by its number in ``lines``, and its codes. The longest lines come first, so that none is
    left alone at the end. The codes of a line are those that a ``FrameLoop`` of its own makes with its seed,
    whatever the slots and the other lines, except for rounding of the logits at other batch sizes.

    ``slots`` is how many are said at once. With more than one, ``auto`` never takes the persistent kernel,
    whose takes are all at the same place.

    Raises MisoError as ``FrameLoop`` does, and if ``slots`` is less than 1.
    """

    def __init__(
        self,
        backbone: Backbone,
        depth: DepthSampler,
        lines: Sequence[Line],
        *,
        slots: int = 8,
        sampling: Sampling = Sampling(),
        path: str = "auto",
    ):
        if slots < 1:
            raise MisoError(f"slots is {slots}.", "Use 1 or more.", input="slots")
        self.backbone, self.depth, self.sampling, self.lines = backbone, depth, sampling, tuple(lines)
        self.slots = max(1, min(slots, len(self.lines)))
        no_kernel = needs_pytorch(sampling, depth.sampling, 0)
        if self.slots > 1:
            no_kernel = "lines at places of their own need PyTorch"
        self.path, self.because = pick_path(path, backbone, depth, self.slots, no_kernel)
        self._expected = [line.expected for line in self.lines]
        self.sampled = 0  # frames, of all lines
        self._done, self._total = 0, sum(self._expected)  # expected frames: of lines that have ended, of all
        self._saying: dict[int, _Saying] = {}  # by slot
        self._steps = self._run()

    def __iter__(self) -> BatchLoop:
        return self

    def __next__(self) -> list[tuple[int, Codes]]:
        return next(self._steps)

    def close(self) -> None:
        """End the run, and return its recorded frame to the backbone before the loop is garbage-collected."""
        self._steps.close()

    @property
    def progress(self) -> tuple[int, int]:
        """How many frames are done, and of how many, as far as the texts tell before they are said."""
        current = (min(s.drawn, self._expected[s.number]) for s in self._saying.values())
        return self._done + sum(current), self._total

    def _run(self) -> Generator[list[tuple[int, Codes]], None, None]:
        if not self.lines:
            return
        waiting = deque(sorted(range(len(self.lines)), key=lambda i: -self._expected[i]))
        rows = max(line.rows + line.max_frames for line in self.lines)
        frames = max(line.max_frames for line in self.lines)
        saying, lag = self._saying, frames_late(self.backbone.codebook0_head.weight.device)
        in_flight: deque[tuple[FrameInFlight, dict[int, tuple[_Saying, int]]]] = deque()
        with borrow_frame(
            self.path, self.backbone, self.depth, self.sampling, self.slots, rows, frames, self.slots > 1
        ) as frame:
            while waiting or saying or in_flight:
                for slot in range(self.slots):
                    if waiting and slot not in saying:
                        saying[slot] = self._begin(waiting.popleft(), frame.state.take(slot))
                if saying:
                    window = max(self.lines[s.number].rows + s.drawn for s in saying.values())
                    frame(window if self.path == "plain" else None)
                    drawn = {slot: (s, s.drawn) for slot, s in saying.items()}
                    in_flight.append((_fetch(frame.state), drawn))
                    for slot, (line, _) in drawn.items():
                        line.drawn += 1
                        if line.drawn == line.loop.max_frames:
                            self._leave(slot, frame.state)
                while len(in_flight) > (lag if saying else 0):
                    yield self._receive(*in_flight.popleft(), frame.state)

    def _begin(self, number: int, state: FrameState) -> _Saying:
        """Prefill a line's prompt in its slot."""
        line = self.lines[number]
        loop = FrameLoop(
            self.backbone,
            self.depth,
            line.conditioning.prompt(line.max_frames),
            seeds=[line.seed],
            max_frames=line.max_frames,
            sampling=self.sampling,
            path=self.path,
        )
        loop.prefill(state)
        return _Saying(number, loop)

    def _receive(
        self, sent: FrameInFlight, drawn: dict[int, tuple[_Saying, int]], state: FrameState
    ) -> list[tuple[int, Codes]]:
        """Hand a frame to the lines for which it was drawn; returns those that ended with it."""
        ended: list[tuple[int, Codes]] = []
        for slot, (line, index) in drawn.items():
            if line.loop.finished:
                continue  # drawn before the host knew
            self.sampled += int(line.loop.receive(sent.take(slot, index)).running[0])
            if line.loop.finished:
                if self._saying.get(slot) is line:
                    self._leave(slot, state)
                self._done += self._expected[line.number]
                ended.append((line.number, line.loop.codes))
        return ended

    def _leave(self, slot: int, state: FrameState) -> None:
        """Free a slot. It goes on from position 0, since the longest line left would take it too far."""
        del self._saying[slot]
        state.position[slot : slot + 1].zero_()
        state.counter[slot : slot + 1].zero_()


def _fetch(state: FrameState) -> FrameInFlight:
    """Start copying the frame that each slot has just drawn. Its index differs from slot to slot."""
    takes = torch.arange(len(state.x), device=state.x.device)
    drawn = state.counter - 1
    return FrameInFlight.send(0, state.codes[drawn, takes], state.log_p[drawn, takes])
