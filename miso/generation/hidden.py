"""Hidden states of codes that are there already: one parallel pass of the backbone, without sampling."""

from __future__ import annotations

import torch

from ..codes.codes import Codes
from ..codes.hidden import Hidden
from ..errors import MisoError
from ..model.networks import Backbone
from ..progress import Progress
from ..text.conditioning import Conditioning, Prompt, frame_rows, frames_of_take


def prompt_for(conditioning: Conditioning, codes: Codes) -> Prompt:
    """The prompt that ``codes`` follow, with room for them. Raises MisoError if they are too long."""
    try:
        return conditioning.prompt(codes.frames)
    except MisoError as e:
        if e.input != "max_seconds":
            raise
        raise MisoError(
            f"Trim the codes, or shorten the voice prompt: {max(codes.seconds):.1f} s are too long for the "
            "model.",
            e.remedy,
            input="codes",
        ) from e


@torch.inference_mode()
def hidden_states(
    backbone: Backbone, prompt: Prompt, codes: Codes, progress: Progress | None = None, *, chunk: int = 256
) -> Hidden:
    """The hidden states [B, T, D] of the backbone when it says ``codes`` [B, k <= K, T] after ``prompt``.

    They are those of a run that drew these codes, up to rounding. Codebooks that the codes lack are masked,
    as in a run with fewer codebooks.

    Rows are computed ``chunk`` at a time, one take after another; ``progress`` counts rows. Raises MisoError
    if the codes are of another codec or have more codebooks than the model, if they and the prompt exceed its
    positions, or if the prompt is another model's.
    """
    config = backbone.config
    if prompt.rows.shape[1] != config.codebooks + 1:
        raise MisoError(
            "Take conditioning and backbone from one Load Miso Model: the text is encoded for "
            f"{prompt.rows.shape[1] - 1} codebooks, the backbone has {config.codebooks}.",
            input="conditioning",
        )
    takes = [frames_of_take(codes.take(i), config, "codes") for i in range(codes.batch)]  # [T, k] each
    first = len(prompt.rows) - 1  # the row that frame 0 is drawn from
    if first + codes.frames > config.positions:
        raise MisoError(
            f"Trim the codes, or shorten the prompt: together they are {first + codes.frames} rows; the "
            f"model has {config.positions} positions.",
            input="codes",
        )
    if not codes.frames:
        raise MisoError("There are no frames: the codes are empty.", "Use other codes.", input="codes")
    cache = backbone.transformer.cache(1, first + codes.frames)
    total, done = first + sum(map(len, takes)), 0

    def run(rows: torch.Tensor, mask: torch.Tensor, start: int) -> torch.Tensor:
        """The states [S, D] of rows [S, K+1] from position ``start`` on."""
        nonlocal done
        states = []
        for a in range(0, len(rows), chunk):
            part, part_mask = rows[a : a + chunk], mask[a : a + chunk]
            x = backbone.embed(part[None], part_mask[None])
            end = start + a + len(part)
            positions = torch.arange(start + a, end, device=x.device)
            states.append(backbone(x, positions, cache, window=end)[0].cpu())
            done += len(part)
            if progress:
                progress(done, total)
        return torch.cat(states)

    if first:
        run(prompt.rows[:-1], prompt.mask[:-1], 0)
    dtype = backbone.audio_embeddings.weight.dtype  # never quantised: the dtype of computation
    tensor = torch.zeros(codes.batch, codes.frames, config.backbone.dim, dtype=dtype)
    for row, frames in zip(tensor, takes):
        if not len(frames):
            continue
        # a take overwrites the rows of the one before it, which come later and are not read
        rows, mask = frame_rows(frames[:-1], config.codebooks)
        rows, mask = torch.cat((prompt.rows[-1:], rows)), torch.cat((prompt.mask[-1:], mask))
        row[: len(frames)] = run(rows, mask, first)
    return Hidden(tensor, codes.lengths.clone(), backbone.fingerprint)
