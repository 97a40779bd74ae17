"""What must hold of every path that records its frame."""

import torch

from miso.generation.loop import FrameLoop


def check_recorded_frame(backbone, depth, prompt, path):
    """One loop at a time uses the recorded frame, later ones use it again, and moving weights drops it."""

    def loop():
        return FrameLoop(backbone, depth, prompt, seeds=[1], max_frames=10, path=path)

    first, second = loop(), loop()
    next(first)
    list(second)  # while the first is under way
    list(first)
    assert torch.equal(first.codes.tensor, second.codes.tensor)
    recorded = backbone.kept_frame[1]
    list(loop())
    assert backbone.kept_frame[1] is recorded
    backbone.to("cpu")
    assert backbone.kept_frame is None
    backbone.to("cuda")
    third = loop()
    list(third)
    assert torch.equal(first.codes.tensor, third.codes.tensor)
