"""The key under which the store keeps a run's codes: a digest of everything that determines them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from .. import __version__
from ..codes.codes import Codes, tensor_digest
from ..model.sampling import Sampling
from ..text.conditioning import Prompt, Segment


def codes_key(
    *,
    fingerprint: str,
    precision: str,
    prompt: Prompt,
    sampling: Sampling,
    depth_sampling: Sampling,
    seeds: list[int],
    max_frames: int,
    codebooks: int,
    prefix: Codes | None = None,
    min_frames: int = 0,
) -> str:
    """The key of the codes that a frame loop with these arguments makes: 64 hexadecimal digits.

    Needs the checkpoint's fingerprint but no weights, so that stored codes are found before a model is
    loaded.
    """
    inputs = {
        "version": __version__,
        "fingerprint": fingerprint,
        "precision": precision,
        "rows": tensor_digest(prompt.rows),
        "mask": tensor_digest(prompt.mask),
        "line": (prompt.line.text, prompt.line.speaker),
        "sampling": sampling.described(),
        "depth_sampling": depth_sampling.described(),
        "seeds": list(seeds),
        "max_frames": max_frames,
        "codebooks": codebooks,
        "prefix": None if prefix is None else prefix.digest(),
    }
    if min_frames:
        inputs["min_frames"] = min_frames
    if any(not 0 <= seed < 2**32 for seed in seeds):  # whose numbers were those of their lower 32 bits once
        inputs["wide_seeds"] = True
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def replacement_key(
    *,
    fingerprint: str,
    precision: str,
    codes: Codes,
    edits: Sequence[tuple[object, ...]],
    history: Sequence[Segment],
    sampling: Sampling,
    depth_sampling: Sampling,
    seed: int,
    takes: int,
) -> str:
    """The key of codes of which words are said anew (``replacement``): 64 hexadecimal digits.

    ``edits`` are, of each span, what it says, what it is to say, and how its words are read.
    """
    inputs = {
        "version": __version__,
        "replaced": [list(edit) for edit in edits],
        "fingerprint": fingerprint,
        "precision": precision,
        "codes": codes.digest(),
        "history": [
            (segment.text, segment.speaker, segment.voice, segment.codes and segment.codes.digest())
            for segment in history
        ],
        "sampling": sampling.described(),
        "depth_sampling": depth_sampling.described(),
        "seed": seed,
        "takes": takes,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
