"""Comparison of this engine with recorded outputs of the published model definition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.devices import Precision
from ..errors import MisoError
from ..files import open_tensors, read_header
from ..generation.depth import DepthSampler
from ..generation.loop import FrameLoop
from ..model.sampling import Sampling
from ..text.conditioning import Prompt, Segment
from ..training.loss import loss

EXPECTED = {
    "prompt_tokens",
    "prompt_mask",
    "backbone_hidden",
    "c0_logits",
    "depth_frames",
    "depth_backbone_hidden",
    "depth_logits",
    "greedy_codes",
    "train_tokens",
    "train_mask",
    "train_targets",
    "train_targets_mask",
    "train_depth_idx",
    "train_c0_loss",
    "train_depth_loss",
    "train_loss",
}


@dataclass(frozen=True)
class Parity:
    """The largest absolute difference of each quantity, and how many greedy codes differ."""

    differences: dict[str, float]
    wrong_codes: int
    codes: int

    def within(self, tolerance: float) -> bool:
        """Whether no code differs and all differences are at most ``tolerance``; a NaN never is."""
        return self.wrong_codes == 0 and all(value <= tolerance for value in self.differences.values())


@torch.inference_mode()
def parity(
    model: str | Path, expected: str | Path, device: str = "cpu", precision: Precision = Precision()
) -> Parity:
    """Run the checkpoint ``model`` on the inputs in the file ``expected`` and compare with the outputs in it.

    Raises MisoError if the file of expected outputs is incomplete.
    """
    missing = EXPECTED - read_header(expected)[1].keys()
    if missing:
        raise MisoError(
            f"{Path(expected).name} is not a parity fixture: it lacks {', '.join(sorted(missing))}.",
            "Give the file of expected outputs.",
        )
    with open_tensors(expected) as file:
        want = {name: file.get_tensor(name).to(device) for name in EXPECTED}
    checkpoint = Checkpoint(model)
    backbone, depth = checkpoint.load_backbone(device, precision), checkpoint.load_depth(device, precision)
    got = {}
    rows, mask = want["prompt_tokens"].long()[None], want["prompt_mask"][None]
    got["backbone_hidden"] = backbone(backbone.embed(rows, mask))[0]
    got["c0_logits"] = backbone.codebook0_head(got["backbone_hidden"])
    got["depth_logits"] = depth.teacher_forced(
        want["depth_backbone_hidden"].to(precision.dtype), want["depth_frames"].long()
    )
    losses = loss(
        backbone,
        depth,
        want["train_tokens"].long(),
        want["train_mask"],
        want["train_targets"].long(),
        want["train_targets_mask"],
        want["train_depth_idx"].long(),
    )
    got["train_loss"], got["train_c0_loss"], got["train_depth_loss"] = losses
    greedy = want["greedy_codes"].cpu()
    loop = FrameLoop(
        backbone,
        DepthSampler(depth, Sampling(0)),
        Prompt(rows[0].cpu(), mask[0].cpu(), Segment("")),
        seeds=[0],
        max_frames=greedy.shape[1],
        sampling=Sampling(0),
    )
    codes = torch.stack([frame.codes[0] for frame in loop], 1)
    frames = codes.shape[1]  # fewer than expected if the loop stopped early
    return Parity(
        differences={
            name: float((value.float() - want[name].float()).abs().max()) for name, value in got.items()
        },
        wrong_codes=int((codes != greedy[:, :frames]).sum()) + greedy[:, frames:].numel(),
        codes=greedy.numel(),
    )
