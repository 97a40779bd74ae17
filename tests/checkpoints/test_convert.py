"""Files converted to other precisions: what they load as, in how little memory, and when they are refused."""

import contextlib
import random
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from closeness import relative
from make_tiny import MODEL
from safetensors.torch import load_file, save_file

from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import Checkpoint, save_checkpoint
from miso.checkpoints.convert import convert_checkpoint
from miso.checkpoints.devices import Precision, pick_precision
from miso.checkpoints.fit import choose_precision
from miso.errors import MisoError
from miso.model.config import StackConfig
from miso.tools.info import info

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("convert") / "fp32.safetensors"
    tensor = random_tensors(MODEL, 3)
    save_checkpoint(path, MODEL, {n: tensor(n) for n in canonical_shapes(MODEL)})
    return Checkpoint(path)


@pytest.mark.parametrize(
    "name",
    ["fp32", "bf16", pytest.param("fp16", marks=pytest.mark.slow), "int8", "fp8", "int4"],
)
def test_a_converted_file_loads_as_if_converted_in_memory(original, name, tmp_path, monkeypatch):
    monkeypatch.setattr("miso.checkpoints.convert._PIECE", 1000)  # many pieces, even of small tensors
    steps = []
    convert_checkpoint(original.path, tmp_path / "x.safetensors", name, lambda *s: steps.append(s))
    converted, precision = Checkpoint(tmp_path / "x.safetensors"), pick_precision(name, CPU)
    assert converted.config == original.config and converted.weights == precision.weights
    assert steps[-1][0] == steps[-1][1]
    assert re.fullmatch("[0-9a-f]{32}", converted.fingerprint)
    assert (converted.fingerprint == original.fingerprint) == (name == "fp32")  # the original's own
    for load in ("load_backbone", "load_depth"):
        direct, via_file = (
            getattr(checkpoint, load)("cpu", precision).state_dict() for checkpoint in (original, converted)
        )
        for n in direct:
            # the code table comes from rounded weights, and embeddings beside quantised matrices are bf16
            rounded = n == "code_table" or precision.weights and direct[n].dtype == torch.float32
            close = (3e-2 if name == "fp8" else 1e-2) if rounded else 0
            assert torch.equal(direct[n], via_file[n]) or relative(via_file[n], direct[n]) <= close, n


@pytest.mark.parametrize("kind", ["int8", "fp8", "int4"])
def test_the_same_content_has_the_same_fingerprint(original, kind, tmp_path):
    for name in ("a", "b"):
        convert_checkpoint(original.path, tmp_path / name, kind)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    convert_checkpoint(tmp_path / "a", tmp_path / "c", kind)
    once, twice = (Checkpoint(tmp_path / name).tensor("projection.weight") for name in ("a", "c"))
    assert twice.equal(once)


def test_int8_with_a_step_for_each_channel(original, tmp_path):
    """The format of older files and of nano is read exactly, and becomes int8 in groups when it is loaded."""
    convert_checkpoint(original.path, tmp_path / "now.safetensors", "int8")
    tensors, weight = load_file(tmp_path / "now.safetensors"), original.tensor("projection.weight")
    scale = weight.abs().amax(1) / 127
    tensors |= {
        "projection.weight": (weight / scale[:, None]).round().to(torch.int8),
        "projection.scale": scale,
    }
    save_file(tensors, tmp_path / "before.safetensors", {"config": MODEL.to_json()})
    before = Checkpoint(tmp_path / "before.safetensors")
    assert before.tensor("projection.weight").equal(tensors["projection.weight"] * scale[:, None])
    assert before.load_depth("cpu", Precision(weights="int8")).projection.scale.ndim == 2
    convert_checkpoint(before.path, tmp_path / "new.safetensors", "int8")
    assert relative(Checkpoint(tmp_path / "new.safetensors").tensor("projection.weight"), weight) < 0.015


def test_bad_requests(original, tmp_path):
    with pytest.raises(MisoError, match="'int3'"):
        convert_checkpoint(original.path, tmp_path / "x.safetensors", "int3")
    with pytest.raises(MisoError, match="can't be written"):
        (tmp_path / "file").touch()
        convert_checkpoint(original.path, tmp_path / "file" / "x.safetensors", "bf16")
    for kind, stored in (("int8", "I8"), ("fp8", "F8_E4M3")):
        convert_checkpoint(original.path, tmp_path / "whole.safetensors", kind)
        tensors = load_file(tmp_path / "whole.safetensors")
        del tensors["projection.scale"]
        save_file(tensors, tmp_path / "bad.safetensors", {"config": MODEL.to_json()})
        with pytest.raises(MisoError, match=f"projection.weight is of the type {stored}"):
            Checkpoint(tmp_path / "bad.safetensors")


def test_fp8_on_a_device_without_it(original, tmp_path):
    """On MPS fp8 is refused, and stored fp8 is converted before it is moved there."""
    convert_checkpoint(original.path, tmp_path / "fp8.safetensors", "fp8")
    file, mps = Checkpoint(tmp_path / "fp8.safetensors"), torch.device("mps")
    with pytest.raises(MisoError, match="'mps' does not support fp8"):
        pick_precision("fp8", mps)
    choice = choose_precision("auto", file, mps)
    assert choice.precision == Precision(torch.bfloat16, "int8") and "fp8" in choice.because
    assert choose_precision("fp8", file, CPU).precision == Precision(torch.float32, "fp8")
    depth = file.load_depth("cpu", Precision(weights="int8"))
    assert depth.projection.kind == "int8" and "f8_e4m3" in info(file.path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """A 200 MB file of one large embedding table is converted in pieces of 4 MB, in a sixth of its size."""
    config = replace(MODEL, text_vocab=200_000, backbone=StackConfig(1, 4, 2, 256, 64))
    tensor = random_tensors(config, 0)
    large, small = tmp_path / "large.safetensors", tmp_path / "small.safetensors"
    save_checkpoint(large, config, {n: tensor(n) for n in canonical_shapes(config)})
    code = """import sys
from miso.checkpoints import convert
from miso.checkpoints.build import canonical_shapes
from miso.checkpoints.checkpoint import Checkpoint
def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) // 1024
convert._PIECE = 2**20
Checkpoint(sys.argv[1])
before = peak()
convert.convert_checkpoint(sys.argv[1], sys.argv[2], 'int8')
print(peak() - before)"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(large), str(small)],
        capture_output=True,
        text=True,
        cwd=__file__.rsplit("/tests/", 1)[0],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 33
    assert small.stat().st_size < 0.55 * large.stat().st_size


# converts for ever; the parent kills it wherever it happens to be
CONVERTER = """import sys
from miso.checkpoints import convert
convert._PIECE = 100
print("ready", flush=True)
while True:
    convert.convert_checkpoint(sys.argv[1], sys.argv[2], sys.argv[3])
"""


def test_a_killed_conversion_leaves_the_old_file_or_the_new_one(original, tmp_path):
    """Never half of one; the temporary file that it leaves is not taken for a checkpoint."""
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    convert_checkpoint(original.path, before, "int8")
    convert_checkpoint(original.path, after, "int4")
    whole = [path.read_bytes() for path in (before, after)]
    target = tmp_path / "folder" / "target.safetensors"
    target.parent.mkdir()
    draw = random.Random(0)
    for _ in range(4):
        target.write_bytes(whole[0])
        converter = subprocess.Popen(
            [sys.executable, "-c", CONVERTER, original.path, target, "int4"],
            cwd=__file__.rsplit("/tests/", 1)[0],
            stdout=subprocess.PIPE,
        )
        assert converter.stdout and converter.stdout.readline() == b"ready\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            converter.wait(draw.uniform(0, 0.2))
        converter.kill()
        converter.wait()
        assert target.read_bytes() in whole
    assert [path for path in target.parent.glob("*.safetensors") if path.name[0] != "."] == [target]
