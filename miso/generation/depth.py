"""Depth decoding: the object the frame loop hands a frame's first codes to, and the same after the fact for whole takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.hidden import Hidden
from ..errors import MisoError
from ..model.networks import DepthDecoder
from ..model.sampling import Sampling, draw, uniforms


@dataclass(frozen=True)
class DepthSampler:
    """A depth decoder with its own sampling, limited to the first ``codebooks`` (all of the model's if None)."""

    decoder: DepthDecoder
    sampling: Sampling = Sampling()
    codebooks: int | None = None

    def __post_init__(self):
        most = self.decoder.config.codebooks
        if self.codebooks is None:
            object.__setattr__(self, "codebooks", most)
        if not 1 <= self.codebooks <= most:
            raise MisoError(
                f"codebooks is {self.codebooks}; the depth decoder has {most}.",
                f"Use 1 to {most}.",
                input="codebooks",
            )

    def __call__(self, hidden: Tensor, codes: Tensor, u: Tensor) -> Tensor:
        """Whole frames [N, codebooks] from hidden [N, D], their first codes [N, k >= 1] and uniform numbers u [N, K].

        Each frame is a sequence of its own, so N may be takes, frames or both. No host read, static shapes.
        """
        decoder, first = self.decoder, codes.shape[1]
        if first >= self.codebooks:
            return codes[:, : self.codebooks]
        cache = decoder.transformer.cache(len(codes), self.codebooks)
        positions = torch.arange(self.codebooks, device=codes.device)
        x, at = decoder.start(hidden, codes), positions[: first + 1]
        for k in range(first, self.codebooks):
            y = decoder.transformer(x, at, cache, window=k + 1)[:, -1]
            code = draw(decoder.logits(y, k), u[:, k], self.sampling, decoder.config.codebook_size)[:, None]
            codes = torch.cat((codes, code), 1)
            if k + 1 < self.codebooks:
                x, at = decoder.embed(code, k), positions[k + 1 : k + 2]
        return codes


@torch.inference_mode()
def redecode(
    depth: DepthSampler,
    hidden: Hidden,
    codes: Codes,
    *,
    keep: int = 1,
    start: int = 0,
    seeds: list[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    at_once: int = 256,
) -> Codes:
    """Codebooks ``keep``..K-1 of the frames from ``start`` on, drawn again from the backbone's hidden states and codebooks 0..keep-1.

    Frames are the batch, ``at_once`` of them; the backbone isn't needed. With the seeds of the run that made them (the default)
    the run's own codes come back. ``progress(frames done, of all)`` may raise to interrupt.
    """
    if hidden.fingerprint != depth.decoder.fingerprint:
        raise MisoError(
            "The hidden states come from another checkpoint than the depth decoder.",
            "Use the depth decoder of the checkpoint that sampled them.",
            input="hidden",
        )
    if hidden.tensor.shape[:2] != (codes.batch, codes.frames) or not torch.equal(
        hidden.lengths, codes.lengths
    ):
        raise MisoError(
            f"The hidden states are of {hidden.tensor.shape[0]} takes and {hidden.lengths.tolist()} frames, "
            f"the codes of {codes.batch} and {codes.lengths.tolist()}.",
            "Use hidden states and codes of one run; edited codes fit no hidden states.",
            input="hidden",
        )
    if not 1 <= keep <= codes.codebooks:
        raise MisoError(
            f"keep is {keep}; the codes have {codes.codebooks} codebooks.",
            f"Use 1 to {codes.codebooks}.",
            input="keep",
        )
    if not 0 <= start <= codes.frames:
        raise MisoError(
            f"start is {start}; the codes have {codes.frames} frames.",
            f"Use 0 to {codes.frames}.",
            input="start",
        )
    if start and depth.codebooks > codes.codebooks:
        raise MisoError(
            f"The frames before {start} have {codes.codebooks} codebooks, those after it would have {depth.codebooks}.",
            "Limit the depth decoder to as many, or redecode all frames.",
            input="start",
        )
    if start == codes.frames:
        return codes
    if seeds is None:
        seeds = [take.seed or 0 for take in codes.takes]
    weight = (
        depth.decoder.code_table
    )  # stands for the decoder's device and dtype, whatever its matrices are held in
    u = uniforms(seeds, codes.frames, depth.decoder.config.codebooks)[:, start:].flatten(0, 1)
    states, known = (
        hidden.tensor[:, start:].flatten(0, 1),
        codes.tensor[:, :keep, start:].transpose(1, 2).flatten(0, 1),
    )
    made = []
    for first in range(0, len(known), at_once):
        part = slice(first, first + at_once)
        made.append(
            depth(states[part].to(weight), known[part].to(weight.device), u[part].to(weight.device)).cpu()
        )
        if progress:
            progress(min(first + at_once, len(known)), len(known))
    again = torch.cat(made).unflatten(0, (codes.batch, -1)).transpose(1, 2)
    tensor = torch.cat((codes.tensor[:, : depth.codebooks, :start], again), 2)
    takes = [replace(t, seed=seed) for t, seed in zip(codes.takes, seeds)]
    return codes.like(tensor, codes.lengths, takes)
