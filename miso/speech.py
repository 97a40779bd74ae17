"""The chain as one object, for programs: a loaded checkpoint that samples codes.

Nodes and commands use the same parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from .checkpoints.checkpoint import Checkpoint
from .checkpoints.devices import pick_device
from .checkpoints.fit import choose_precision
from .checkpoints.lora import AdaptedCheckpoint, Adapter
from .codes.codes import Codes
from .errors import MisoError
from .generation.depth import DepthSampler, how_many
from .generation.loop import FrameLoop
from .generation.turn_settings import TurnSettings
from .generation.turns import KeptTurns, TurnLoop
from .limits import MAX_TAKES
from .model.networks import Backbone, DepthDecoder
from .model.sampling import Sampling
from .text.conditioning import Segment, TextEncoder
from .text.pronunciations import Pronunciations
from .text.script import Turn


class Miso:
    """A checkpoint on a device. Its networks are loaded on first use.

    ``precision`` is the chosen precision, and ``because`` a clause that gives the reason. ``loras`` are files
    of adapters, each with its strength.

    >>> miso = Miso("nano.safetensors")
    >>> loop = miso.sample([Segment("Hello there.")], seeds=[7], max_seconds=10)
    >>> for frame in loop: ...                      # or list(loop)
    >>> loop.codes.save("hello.safetensors")
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        tokenizers: Iterable[str | Path] = (),
        pronunciations: Pronunciations = Pronunciations(),
        loras: Iterable[tuple[str | Path, float]] = (),
    ):
        self.checkpoint, self.device = Checkpoint(path), pick_device(device)
        if adapters := tuple((Adapter(file, self.checkpoint.config), strength) for file, strength in loras):
            self.checkpoint = AdaptedCheckpoint(self.checkpoint, adapters)
        choice = choose_precision(precision, self.checkpoint, self.device)
        self.precision, self.because, self._on_cpu = choice
        self._tokenizers, self._pronunciations = tuple(tokenizers), pronunciations

    @cached_property
    def backbone(self) -> Backbone:
        return self.checkpoint.load_backbone(self.device, self.precision, on_cpu=self._on_cpu)

    @cached_property
    def depth(self) -> DepthDecoder:
        return self.checkpoint.load_depth(self.device, self.precision)

    @cached_property
    def text(self) -> TextEncoder:
        return self.checkpoint.text_encoder(self._tokenizers).with_pronunciations(self._pronunciations)

    @property
    def sampling(self) -> Sampling:
        """The checkpoint's default sampling."""
        return Sampling(self.checkpoint.config.temperature, self.checkpoint.config.top_k)

    def sample(
        self,
        segments: Sequence[Segment],
        *,
        seeds: list[int],
        max_seconds: float = 30,
        sampling: Sampling | None = None,
        depth: DepthSampler | None = None,
        codebooks: int | None = None,
        prefix: Codes | None = None,
        keep_hidden: bool = False,
        path: str = "auto",
    ) -> FrameLoop:
        """A frame loop that speaks the last segment, one take per seed; the other segments are its history.

        ``sampling`` defaults to the checkpoint's, ``depth`` to the checkpoint's depth decoder with this
        sampling and ``codebooks``. For ``prefix``, ``keep_hidden`` and ``path`` see ``FrameLoop``. What is
        wrong with the text or a limit is found before the networks are loaded.
        """
        conditioning = self.text.conditioning(segments)
        frames = frames_for(max_seconds, self.checkpoint.config.frame_rate)
        given = prefix.frames if prefix else 0
        prompt = conditioning.prompt(frames + given, given)
        sampling = sampling or self.sampling
        return FrameLoop(
            self.backbone,
            depth or DepthSampler(self.depth, sampling, codebooks),
            prompt,
            seeds=seeds,
            max_frames=frames,
            sampling=sampling,
            prefix=prefix,
            keep_hidden=keep_hidden,
            path=path,
        )

    def turns(
        self,
        turns: Sequence[Turn],
        *,
        seed: int = 0,
        max_seconds: float = 0,
        sampling: Sampling | None = None,
        depth: DepthSampler | None = None,
        codebooks: int | None = None,
        history: Sequence[Segment] = (),
        store: KeptTurns | None = None,
        silence: Callable[[], Codes] | None = None,
        path: str = "auto",
    ) -> TurnLoop:
        """A loop that speaks turns one after another (``parse_script``, ``text_turns``).

        ``max_seconds`` limits a turn; 0 follows its text. For ``history``, ``store`` and ``silence`` see
        ``TurnLoop``.
        """
        sampling = sampling or self.sampling
        own = self.checkpoint.fingerprint
        others = depth.decoder.fingerprint if depth else own
        settings = TurnSettings(
            fingerprint=own if own == others else f"{own} {others}",
            precision=str(self.precision),
            sampling=sampling,
            depth_sampling=depth.sampling if depth else sampling,
            codebooks=depth.codebooks if depth else how_many(codebooks, self.checkpoint.config.codebooks),
            seed=seed,
            max_seconds=max_seconds,
            path=path,
        )
        return TurnLoop(
            self.text,
            turns,
            lambda rows: (self.backbone, depth or DepthSampler(self.depth, sampling, codebooks)),
            settings,
            history=history,
            store=store,
            silence=silence,
        )


def frames_for(seconds: float, frame_rate: float) -> int:
    """The number of frames in a time limit, rounded up. Raises MisoError if it is not positive and finite."""
    if not 0 < seconds < math.inf:
        raise MisoError(f"max_seconds is {seconds}.", "Use more than 0.", input="max_seconds")
    return math.ceil(round(seconds * frame_rate, 6))


def take_seeds(seed: int, takes: int) -> list[int]:
    """Seeds for ``takes`` takes. The first is ``seed``, so that a single take equals the first of several."""
    if not 1 <= takes <= MAX_TAKES:
        raise MisoError(f"takes is {takes}.", f"Use 1 to {MAX_TAKES}.", input="takes")
    return [seed + i for i in range(takes)]
