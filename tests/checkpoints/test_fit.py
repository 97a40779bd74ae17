"""Which precision fits a device."""

from types import SimpleNamespace

import pytest
import torch

from miso.checkpoints.devices import Precision
from miso.checkpoints.fit import bytes_needed, choose_precision, layer_bytes
from miso.errors import MisoError
from miso.model.config import PRESETS

CUDA, CPU = (
    SimpleNamespace(type="cuda"),
    torch.device("cpu"),
)  # as far as a choice by a given memory looks at a device


def checkpoint(size="8b", weights=""):
    return SimpleNamespace(config=PRESETS[size], weights=weights)


@pytest.mark.parametrize(
    "gigabytes, want, on_cpu",
    [
        (80, "", 0),
        (24, "", 0),
        (16, "int8", 0),
        (12, "int8", 0),
        (8, "int4", 0),
        (6, "int4", 3),
        (4, "int4", 19),
        (3, "int4", 28),
        (2, "int4", 32),
    ],
)
def test_by_the_memory_there_is(gigabytes, want, on_cpu):
    choice, memory = choose_precision("auto", checkpoint(), CUDA, int(gigabytes * 1e9)), gigabytes * 1e9
    assert choice.precision == Precision(torch.bfloat16, want) and choice.on_cpu == on_cpu
    assert ("may not load" in choice.because) == (gigabytes == 2) and f"{gigabytes}.0 GB" in choice.because
    if 0 < on_cpu < 32:  # as few as need be
        fewer, enough = (bytes_needed(PRESETS["8b"], choice.precision, n) for n in (on_cpu - 1, on_cpu))
        assert enough <= memory < fewer
        seconds = on_cpu * layer_bytes(PRESETS["8b"], choice.precision) / 12e9
        assert (
            f"{on_cpu} of the backbone's 32 layers" in choice.because
            and f"about {seconds:.2f} s more" in choice.because
        )


def test_what_a_file_holds_may_be_too_large():
    for stored, gigabytes, want in (
        ("int8", 12, ("int8", 0)),
        ("int8", 8, ("int4", 0)),
        ("fp8", 8, ("int4", 0)),
        ("int4", 6, ("int4", 3)),
    ):
        choice = choose_precision("auto", checkpoint(weights=stored), CUDA, int(gigabytes * 1e9))
        assert (choice.precision.weights, choice.on_cpu) == want


def test_what_is_asked_for_or_stored_stays():
    assert choose_precision("bf16", checkpoint(), CUDA, 0).precision == Precision(torch.bfloat16)
    assert (
        choose_precision("auto", checkpoint(weights="int8"), CUDA, 80_000_000_000).precision.weights == "int8"
    )
    assert (
        choose_precision("auto", checkpoint(weights="fp8"), CUDA, 80_000_000_000).precision.weights == "fp8"
    )
    assert choose_precision("auto", checkpoint(weights="int8"), CPU).precision == Precision(
        torch.float32, "int8"
    )
    assert (
        choose_precision("auto", checkpoint("nano", "int8"), CPU).precision == Precision()
    )  # small: quickest multiplied out
    with pytest.raises(MisoError, match="int3"):
        choose_precision("int3", checkpoint(), CPU)


def test_the_8b_model_in_gigabytes():
    needs = [
        bytes_needed(PRESETS["8b"], Precision(torch.bfloat16, weights)) / 1e9
        for weights in ("", "int8", "int4", "fp8")
    ]
    assert (
        needs[0] < 18
        and needs[1] < 10
        and needs[2] < 6.5
        and needs[:3] == sorted(needs[:3], reverse=True)
        and needs[3] < needs[1]
    )
