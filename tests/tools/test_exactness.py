"""The error that a precision causes, measured on the path that computes frames."""

from dataclasses import replace

import pytest
import torch

from miso.checkpoints.devices import Precision
from miso.model.config import PRESETS, StackConfig
from miso.tools.exactness import exactness

SMALL = replace(
    PRESETS["nano"],
    backbone=StackConfig(4, 4, 2, 512, 1024),
    depth=StackConfig(3, 4, 2, 256, 512),
    audio_vocab=259,
    codebooks=6,
    codebook_size=256,
    positions=512,
    text_vocab=40,
)


@pytest.mark.parametrize(
    "precision, least, most",
    [
        (Precision(), 0, 1e-5),
        pytest.param(Precision(torch.bfloat16), 1e-3, 1e-2, marks=pytest.mark.slow),
        (Precision(torch.bfloat16, "int8"), 4e-3, 3e-2),
        pytest.param(Precision(torch.bfloat16, "int4"), 4e-3, 0.3, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_frames_stay_close_to_fp32(device, precision, least, most):
    errors = exactness(SMALL, torch.device(device), precision)
    assert list(errors) == ["hidden", "first_logits", "depth_logits"]
    assert all(least <= error < most for error in errors.values()), errors
