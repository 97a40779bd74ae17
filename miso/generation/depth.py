"""Depth decoding: the sampler that completes frames in the frame loop, and ``redecode`` after a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..codes.codes import Codes
from ..codes.hidden import Hidden
from ..codes.retired import other_codec
from ..errors import MisoError
from ..model.config import ModelConfig
from ..model.networks import DepthDecoder
from ..model.sampling import Sampling, draw, uniforms
from ..progress import Progress


def how_many(codebooks: int | None, available: int) -> int:
    """The number of codebooks to sample; None is all. Raises MisoError if there are fewer."""
    if codebooks is None:
        return available
    if not 1 <= codebooks <= available:
        raise MisoError(
            f"codebooks is {codebooks}; the depth decoder has {available}.",
            f"Use 1 to {available}.",
            input="codebooks",
        )
    return codebooks


@dataclass(frozen=True, init=False)
class DepthSampler:
    """A depth decoder with its own sampling, limited to the first ``codebooks`` (None: all of the model's).

    Raises MisoError if the decoder doesn't have that many.
    """

    decoder: DepthDecoder
    sampling: Sampling
    codebooks: int

    def __init__(self, decoder: DepthDecoder, sampling: Sampling = Sampling(), codebooks: int | None = None):
        codebooks = how_many(codebooks, decoder.config.codebooks)
        for name, value in (("decoder", decoder), ("sampling", sampling), ("codebooks", codebooks)):
            object.__setattr__(self, name, value)  # frozen

    def __call__(self, hidden: Tensor, codes: Tensor, u: Tensor) -> Tensor:
        """Complete frames: hidden [N, D], first codes [N, k >= 1], uniform u [N, K] -> [N, codebooks].

        Each frame is a sequence of its own, so N may be takes, frames or both. No host read, static shapes.
        """
        decoder, first = self.decoder, codes.shape[1]
        hidden = hidden.to(decoder.code_table.dtype)  # of a backbone in another precision
        if first >= self.codebooks:
            return codes[:, : self.codebooks]
        cache = decoder.transformer.cache(len(codes), self.codebooks)
        positions = torch.arange(self.codebooks, device=codes.device)
        x, x_positions = decoder.start(hidden, codes), positions[: first + 1]
        for k in range(first, self.codebooks):
            y = decoder.transformer(x, x_positions, cache, window=k + 1)[:, -1]  # [N, d]
            code = draw(decoder.logits(y, k), u[:, k], self.sampling, decoder.config.codebook_size)[:, None]
            codes = torch.cat((codes, code), 1)
            if k + 1 < self.codebooks:
                x, x_positions = decoder.embed(code, k), positions[k + 1 : k + 2]
        return codes


def check_stages(backbone: ModelConfig, depth: ModelConfig) -> None:
    """Raise MisoError unless a depth decoder fits a backbone; they may be of different checkpoints."""
    for what, theirs, mine in (
        ("hidden states of the width", backbone.backbone.dim, depth.backbone.dim),
        ("the codec", f"'{backbone.codec}'", f"'{depth.codec}'"),
        ("a number of codebooks of", backbone.codebooks, depth.codebooks),
        ("codebooks of the size", backbone.codebook_size, depth.codebook_size),
    ):
        if theirs != mine:
            raise MisoError(
                f"Take a depth decoder that fits the backbone: the backbone has {what} {theirs}, the depth "
                f"decoder {mine}.",
                "One Load Miso Model gives both.",
                input="depth",
            )


@torch.inference_mode()
def redecode(
    depth: DepthSampler,
    hidden: Hidden,
    codes: Codes,
    *,
    keep: int = 1,
    start: int = 0,
    seeds: list[int] | None = None,
    progress: Progress | None = None,
    batch_size: int = 256,
) -> Codes:
    """Draw codebooks ``keep``..K-1 again, of the frames from ``start`` on, from the hidden states.

    Codes with fewer codebooks than ``depth`` are filled up.

    All frames are independent given the hidden states, so they are decoded ``batch_size`` at a time, without
    the backbone. ``seeds``: one per take, by default those of the run, which give the run's own codes.
    ``progress`` counts frames. Raises MisoError if ``hidden`` and ``codes`` are not of one run, or ``keep``
    or ``start`` is out of range.
    """
    _check_redecode(depth, hidden, codes, keep, start)
    if start == codes.frames:
        return codes
    if seeds is None:
        seeds = [take.seed or 0 for take in codes.takes]
    weight = depth.decoder.code_table  # never quantised: its dtype is the dtype of computation
    # takes and frames as one batch, [B * (T - start), ...]
    u = uniforms(seeds, codes.frames, depth.decoder.config.codebooks)[:, start:].flatten(0, 1)
    states = hidden.tensor[:, start:].flatten(0, 1)
    kept = codes.tensor[:, :keep, start:].transpose(1, 2).flatten(0, 1)
    batches = []
    for first in range(0, len(kept), batch_size):
        batch = slice(first, first + batch_size)
        frames = depth(states[batch].to(weight), kept[batch].to(weight.device), u[batch].to(weight.device))
        batches.append(frames.cpu())
        if progress:
            progress(min(first + batch_size, len(kept)), len(kept))
    drawn = torch.cat(batches).unflatten(0, (codes.batch, -1)).transpose(1, 2)
    # codes that are filled up have fewer codebooks, and no frames before the first
    tensor = torch.cat((codes.tensor[:, : depth.codebooks, :start], drawn), 2) if start else drawn
    takes = [replace(take, seed=seed) for take, seed in zip(codes.takes, seeds)]
    source = {name: value for name, value in codes.source.items() if name != "depth_model"}
    source |= depth_source(codes.source.get("model"), depth)
    return replace(codes.like(tensor, codes.lengths, takes), source=source)


def depth_source(model: object, depth: DepthSampler) -> dict[str, object]:
    """What ``Codes.source`` says of the depth decoder that draws beside the backbone of ``model``.

    It is named where it is of another checkpoint.
    """
    own = depth.decoder.fingerprint
    other = {} if own == model else {"depth_model": own}
    return {"depth_sampling": depth.sampling.described(), **other}


def _check_redecode(depth: DepthSampler, hidden: Hidden, codes: Codes, keep: int, start: int) -> None:
    config = depth.decoder.config
    if hidden.tensor.shape[2] != config.backbone.dim:
        raise MisoError(
            "Take a depth decoder that fits the backbone: the hidden states have the width "
            f"{hidden.tensor.shape[2]}, the depth decoder reads {config.backbone.dim}.",
            input="hidden",
        )
    if (codes.codec, codes.codebook_size) != (config.codec, config.codebook_size):
        told = (
            f"Use codes of the decoder's codec: these are of '{codes.codec}' with {codes.codebook_size} "
            f"ids, it draws '{config.codec}' with {config.codebook_size}.",
            "",
        )
        if codes.codec != config.codec:
            told = other_codec(codes.codec, f"the depth decoder draws '{config.codec}'", *told)
        raise MisoError(*told, input="codes")
    hidden.check_same_run(codes)
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
            f"The frames before {start} have {codes.codebooks} codebooks, those after it would have "
            f"{depth.codebooks}.",
            f"Limit the depth decoder to {codes.codebooks} codebooks, or redecode all frames.",
            input="start",
        )
