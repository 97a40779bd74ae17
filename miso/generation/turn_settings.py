"""Settings of turns and lines: with text, voices and history they decide limits, seeds, keys and codes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ..model.sampling import Sampling
from ..text.conditioning import Prompt
from ..text.length import expected_seconds, most_seconds
from ..text.script import Turn
from .keys import codes_key


@dataclass(frozen=True)
class TurnSettings:
    """What decides the codes of turns, besides text, voices and history."""

    fingerprint: str  # of the checkpoint
    precision: str
    sampling: Sampling
    depth_sampling: Sampling
    codebooks: int
    seed: int = 0
    max_seconds: float = 0.0  # of a turn; 0 follows its text
    path: str = "auto"

    def frames(self, text: str, room: int, frame_rate: float) -> int:
        """The limit of a turn that says ``text``, which follows the text if there is none.

        Then it is at most ``room``, but no less than the text usually takes.
        """

        def count(seconds: float) -> int:
            return max(1, round(seconds * frame_rate))

        if self.max_seconds:
            return count(self.max_seconds)
        return max(min(count(most_seconds(text)), room), count(expected_seconds(text)))

    def key(self, prompt: Prompt, seed: int, frames: int) -> str:
        """The key under which the codes of a turn are kept."""
        return codes_key(
            fingerprint=self.fingerprint,
            precision=self.precision,
            prompt=prompt,
            sampling=self.sampling,
            depth_sampling=self.depth_sampling,
            seeds=[seed],
            max_frames=frames,
            codebooks=self.codebooks,
        )


def turn_seed(seed: int, turn: Turn, nth: int, attempt: int = 0) -> int:
    """The seed of a turn: the same for the same text and speaker, said for the ``nth`` time, in any place.

    Every ``attempt`` at it has another.
    """
    content = json.dumps([seed, turn.text, turn.speaker, nth, *([attempt] if attempt else [])])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big") >> 1
