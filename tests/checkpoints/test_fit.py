"""Which precision fits a device."""

from types import SimpleNamespace

import pytest
import torch

from miso.checkpoints.build import build, random_tensors
from miso.checkpoints.devices import Precision
from miso.checkpoints.fit import bytes_needed, choose_precision, layer_bytes, network_bytes
from miso.errors import MisoError
from miso.model.config import PRESETS, ModelConfig, StackConfig
from miso.model.networks import Backbone, DepthDecoder

CUDA = SimpleNamespace(type="cuda")  # enough for choose_precision if its memory is given
CPU = torch.device("cpu")
SMALL = ModelConfig(
    StackConfig(2, 4, 2, 128, 256),
    StackConfig(2, 2, 1, 64, 128),
    text_vocab=50,
    audio_vocab=35,
    codebooks=4,
    codebook_size=32,
)


def checkpoint(size="8b", weights=""):
    return SimpleNamespace(config=PRESETS[size], weights=weights)


@pytest.mark.parametrize(
    "gigabytes, want, on_cpu",
    [
        (80, "", 0),
        pytest.param(24, "", 0, marks=pytest.mark.slow),
        pytest.param(16, "int8", 0, marks=pytest.mark.slow),
        (12, "int8", 0),
        (8, "int4", 0),
        (6, "int4", 5),
        pytest.param(4, "int4", 21, marks=pytest.mark.slow),
        pytest.param(3, "int4", 30, marks=pytest.mark.slow),
        (2, "int4", 32),
    ],
)
def test_the_choice_depends_on_the_memory(gigabytes, want, on_cpu):
    memory = int(gigabytes * 1e9)
    choice = choose_precision("auto", checkpoint(), CUDA, memory)
    assert choice.precision == Precision(torch.bfloat16, want) and choice.on_cpu == on_cpu
    assert ("may not load" in choice.because) == (gigabytes == 2) and f"{gigabytes}.0 GB" in choice.because
    if 0 < on_cpu < 32:  # as few as necessary
        fewer, enough = (bytes_needed(PRESETS["8b"], choice.precision, n) for n in (on_cpu - 1, on_cpu))
        assert enough <= memory < fewer
        seconds = on_cpu * layer_bytes(PRESETS["8b"], choice.precision) / 12e9
        assert f"{on_cpu} of the backbone's 32 layers" in choice.because
        assert f"about {seconds:.2f} s more" in choice.because


def test_stored_weights_that_are_too_large():
    for stored, gigabytes, want in (
        ("int8", 12, ("int8", 0)),
        ("int8", 8, ("int4", 0)),
        ("fp8", 8, ("int4", 0)),
        ("int4", 6, ("int4", 5)),
    ):
        choice = choose_precision("auto", checkpoint(weights=stored), CUDA, int(gigabytes * 1e9))
        assert (choice.precision.weights, choice.on_cpu) == want


def test_a_requested_or_stored_precision_is_kept():
    assert choose_precision("bf16", checkpoint(), CUDA, 0).precision == Precision(torch.bfloat16)
    for stored in ("int8", "fp8"):
        choice = choose_precision("auto", checkpoint(weights=stored), CUDA, 80_000_000_000)
        assert choice.precision.weights == stored
    choice = choose_precision("auto", checkpoint(weights="int8"), CPU)
    assert choice.precision == Precision(torch.float32, "int8")
    # small models are dequantised, which is fastest
    assert choose_precision("auto", checkpoint("nano", "int8"), CPU).precision == Precision()
    with pytest.raises(MisoError, match="int3"):
        choose_precision("int3", checkpoint(), CPU)


def test_the_8b_model_in_gigabytes():
    whole, int8, int4, fp8 = (
        bytes_needed(PRESETS["8b"], Precision(torch.bfloat16, weights)) / 1e9
        for weights in ("", "int8", "int4", "fp8")
    )
    assert int4 < int8 < whole and fp8 < int8
    assert whole < 18 and int8 < 10 and int4 < 6.5


@pytest.mark.parametrize("weights", ["", "int8", "int4"])
@pytest.mark.parametrize("network", [Backbone, DepthDecoder])
def test_a_networks_size_is_known_before_it_is_loaded(network, weights):
    precision = Precision(torch.bfloat16, weights)
    loaded = build(network, SMALL, "", random_tensors(SMALL, 0), device="cpu", precision=precision)
    on_device = {name: t.nbytes for name, t in loaded.state_dict().items() if "text_embeddings" not in name}
    assert network_bytes(network, SMALL, precision) == sum(on_device.values())
