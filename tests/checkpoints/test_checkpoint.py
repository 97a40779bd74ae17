"""Checkpoints: sizes from tensors, loading in little memory, and one error that lists all problems."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
import torch
from make_tiny import MODEL
from safetensors.torch import load_file, save_file

from miso.checkpoints.build import build, canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import Checkpoint, save_checkpoint
from miso.checkpoints.devices import Precision
from miso.errors import MisoError
from miso.files import replacing
from miso.model.config import PRESETS, StackConfig
from miso.model.networks import Backbone


@pytest.mark.parametrize("name", ["8b", pytest.param("csm-1b", marks=pytest.mark.slow)])
def test_published_sizes_are_inferred_from_the_tensors(name, tmp_path):
    """From a sparse file with a full-size header, because opening a checkpoint reads no data."""
    config, offset, header = PRESETS[name], 0, {}
    for tensor, shape in canonical_shapes(config).items():
        size = 4 * torch.Size(shape).numel()
        header[tensor] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    checkpoint = Checkpoint(path)
    assert checkpoint.config == config
    if name == "8b":
        shapes = canonical_shapes(config).values()
        assert sum(torch.Size(shape).numel() for shape in shapes) == pytest.approx(8.188e9, rel=1e-3)
        assert len(shapes) == 367


def test_networks_share_no_memory_and_have_the_saved_weights(tmp_path):
    config = MODEL
    tensor = random_tensors(config, 5)
    save_checkpoint(tmp_path / "m.safetensors", config, {n: tensor(n) for n in canonical_shapes(config)})
    checkpoint = Checkpoint(tmp_path / "m.safetensors")
    assert checkpoint.config == config
    seen = []
    backbone, depth = checkpoint.load_backbone(progress=lambda *p: seen.append(p)), checkpoint.load_depth()
    assert seen[0][0] == 0 and seen[-1][0] == seen[-1][1]
    assert backbone.audio_embeddings.weight.equal(tensor("audio_embeddings.weight"))
    table = tensor("audio_embeddings.weight")[: 7 * 67] @ tensor("projection.weight").T
    assert torch.allclose(depth.code_table, table, atol=1e-5)
    assert not {p.data_ptr() for p in backbone.parameters()} & {p.data_ptr() for p in depth.parameters()}
    assert not any(p.requires_grad for p in [*backbone.parameters(), *depth.parameters()])
    half = build(type(depth), config, "x", tensor, device="cpu", precision=Precision(torch.bfloat16))
    assert half.audio_head.dtype == torch.bfloat16 and half.transformer.rope.table.dtype == torch.float32


@pytest.mark.gpu
def test_text_embeddings_stay_on_the_cpu():
    tensor = random_tensors(MODEL, 5)
    here, there = (build(Backbone, MODEL, "x", tensor, device=device) for device in ("cpu", "cuda"))
    rows = torch.randint(0, 64, (1, 70, MODEL.codebooks + 1), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(rows, dtype=torch.bool)
    for moved in (there, there.cpu(), there.cuda(), there.to(torch.bfloat16)):
        text, audio = moved.text_embeddings.weight, moved.audio_embeddings.weight
        assert text.device.type == "cpu" and text.dtype == audio.dtype
        embedded = moved.embed(rows.to(audio.device), mask.to(audio.device)).float().cpu()
        assert torch.allclose(embedded, here.embed(rows, mask), atol=2e-1)


def test_the_fingerprint_depends_on_the_weights(golden_paths, tmp_path):
    tensors, metadata = load_file(golden_paths[0]), {"config": Checkpoint(golden_paths[0]).metadata["config"]}
    save_file(tensors, tmp_path / "same.safetensors", metadata)
    tensors["projection.weight"][0, 0] += 1
    save_file(tensors, tmp_path / "other.safetensors", metadata)
    same, other = (Checkpoint(tmp_path / f"{n}.safetensors").fingerprint for n in ("same", "other"))
    assert same == Checkpoint(golden_paths[0]).fingerprint != other


def test_one_changed_number_anywhere_is_another_fingerprint(golden_paths, tmp_path, monkeypatch):
    """Also in a file that says it is what it was: by its metadata, its name, its size and its time."""
    monkeypatch.setattr("miso.checkpoints.fingerprint._PIECE", 1000)
    tensors, metadata = load_file(golden_paths[0]), {"config": Checkpoint(golden_paths[0]).metadata["config"]}
    path, seen = tmp_path / "model.safetensors", set()
    save_file(tensors, path, {**metadata, "fingerprint": "0" * 32})
    first, times = Checkpoint(path).fingerprint, path.stat()
    assert Checkpoint(path).fingerprint == first != "0" * 32
    for row in (0, 7, -1):
        changed = {**tensors, "audio_embeddings.weight": tensors["audio_embeddings.weight"].clone()}
        changed["audio_embeddings.weight"][row, 3] += 1
        save_file(changed, tmp_path / "new.safetensors", {**metadata, "fingerprint": "0" * 32})
        os.utime(tmp_path / "new.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))
        (tmp_path / "new.safetensors").replace(path)
        seen.add(Checkpoint(path).fingerprint)
    assert len(seen | {first}) == 4


def test_a_fingerprint_is_computed_once_with_progress(golden_paths, tmp_path, monkeypatch):
    shutil.copy(golden_paths[0], tmp_path / "model.safetensors")
    steps: list[tuple[int, int]] = []
    first = Checkpoint(tmp_path / "model.safetensors", lambda *step: steps.append(step)).fingerprint
    assert steps[0][0] == 0 and len(steps) == steps[-1][1]
    monkeypatch.setattr("miso.checkpoints.fingerprint._digest", None)  # reads nothing more
    assert Checkpoint(tmp_path / "model.safetensors").fingerprint == first


def test_one_error_lists_all_problems(golden_paths, tmp_path):
    tensors, metadata = load_file(golden_paths[0]), {"config": Checkpoint(golden_paths[0]).metadata["config"]}
    del tensors["backbone.layers.1.attn.q_proj.weight"]
    tensors["audio_head"] = tensors["audio_head"][:, :, :60].contiguous()
    tensors["stray"] = torch.zeros(2)
    tensors["projection.weight"] = tensors["projection.weight"].to(torch.int8)
    tensors["backbone.causal_mask"] = torch.zeros(2)  # ignored: it is computed
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(MisoError) as e:
        Checkpoint(tmp_path / "bad.safetensors")
    for words in (
        "missing backbone.layers.1.attn.q_proj.weight",
        "audio_head is [31, 48, 60], not [31, 48, 67]",
        "unknown stray",
        "type I8",
    ):
        assert words in str(e.value)
    assert "causal_mask" not in str(e.value)


def _write(path, kind, golden):
    if kind == "zip pickle":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    elif kind == "bare pickle":
        path.write_bytes(b"\x80\x04\x95" + bytes(100))
    elif kind == "cut":
        path.write_bytes(golden.read_bytes()[:-1000])
    elif kind == "cut in the header":
        path.write_bytes(golden.read_bytes()[:900])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>404</html>" * 50)
    elif kind == "another family":
        save_file({"model.layers.0.self_attn.q_proj.weight": torch.zeros(4, 4)}, path)
    elif kind == "unknown size":
        save_file(load_file(golden), path)
    elif kind == "bad config":
        save_file(load_file(golden), path, {"config": "{"})
    elif kind == "newer family":
        config = {**json.loads(Checkpoint(golden).metadata["config"]), "family": "miso-2"}
        save_file(load_file(golden), path, {"config": json.dumps(config)})


@pytest.mark.parametrize(
    "kind, words",
    [
        ("zip pickle", "is a pickle"),
        ("bare pickle", "is a pickle"),
        ("cut", "cut short"),
        ("cut in the header", "damaged"),
        ("empty", "damaged"),
        ("text", "not a safetensors file"),
        ("another family", "not a checkpoint of the Miso / CSM family"),
        ("unknown size", "head counts"),
        ("bad config", "config is not valid JSON"),
        ("newer family", "'miso-2'"),
        ("absent", "can't be read"),
    ],
)
def test_bad_files_are_refused_by_content(kind, words, golden_paths, tmp_path):
    path = tmp_path / "model.safetensors"
    _write(path, kind, golden_paths[0])
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(MisoError, match=words) as e:
        Checkpoint(path)
    assert "model.safetensors" in str(e.value) or "config" in words or "family" in str(e.value)
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(b"half of the new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x.safetensors"]
    (tmp_path / "file").write_text("")
    with pytest.raises(MisoError, match="can't be written"), replacing(tmp_path / "file" / "x.safetensors"):
        pass


def test_import_needs_no_torch():
    """So that ComfyUI starts fast."""
    code = """import sys
before = set(sys.modules)
import miso, miso.vocoders, miso.vocoders.mimi
new = {name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
assert new == {'miso'}, new"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=__file__.rsplit("/tests/", 1)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_loading_needs_memory_for_one_tensor_at_a_time(tmp_path):
    """A 115 MB file whose largest tensor has 4 MB, loaded to the meta device."""
    config = replace(MODEL, backbone=StackConfig(28, 8, 2, 512, 2048))
    tensor = random_tensors(config, 0)
    save_checkpoint(tmp_path / "deep.safetensors", config, {n: tensor(n) for n in canonical_shapes(config)})
    assert (tmp_path / "deep.safetensors").stat().st_size > 100e6
    code = """import sys
from miso import Checkpoint
checkpoint = Checkpoint(sys.argv[1])
def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) // 1024
checkpoint.load_depth('meta')
before = peak()
checkpoint.load_backbone('meta')
print(peak() - before)"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "deep.safetensors")],
        capture_output=True,
        text=True,
        cwd=__file__.rsplit("/tests/", 1)[0],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40
