"""Safetensors and JSON files: the header is checked before anything is opened, and a failed write loses
nothing."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miso.errors import MisoError
from miso.files import (
    MAX_HEADER,
    is_name,
    open_tensors,
    parse_json,
    read_header,
    read_json,
    read_text,
    replacing,
    write_tensors,
)

ROOT = Path(__file__).parents[1]
GOOD = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "I16", "shape": [], "data_offsets": [24, 26]},
    "none": {"dtype": "U8", "shape": [0], "data_offsets": [26, 26]},
}


def write(path: Path, header: object, data: int = 26) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    return path


def entry(**changes) -> dict:
    return {**GOOD, "a": {**GOOD["a"], **changes}}


def test_a_good_header_is_read_and_opened(tmp_path):
    path = write(tmp_path / "good.safetensors", {**GOOD, "__metadata__": {"x": "y"}})
    metadata, entries = read_header(path)
    assert metadata == {"x": "y"} and entries["a"].shape == (2, 3) and entries["b"].end == path.stat().st_size
    with open_tensors(path) as file:
        assert file.get_tensor("a").shape == (2, 3)


@pytest.mark.parametrize(
    "header, data",
    [
        (entry(data_offsets=[0, 20]), 26),  # fewer bytes than its shape has
        (entry(shape=[2, 4]), 26),
        (entry(dtype="F64"), 26),
        (entry(dtype="F31"), 26),
        (entry(dtype={"F32": 1}), 26),
        (entry(shape=[True, 6]), 26),
        (entry(shape=[-2, -3]), 26),
        (entry(shape=[2.0, 3.0]), 26),
        (entry(shape="23"), 26),
        (entry(shape=[10**30, 10**30]), 26),
        (entry(data_offsets=[0, 24, 48]), 26),
        (entry(data_offsets=[24, 0]), 26),
        ({**GOOD, "c": GOOD["b"]}, 26),  # overlaps b
        ({**GOOD, "c": {"dtype": "U8", "shape": [2], "data_offsets": [30, 32]}}, 32),  # leaves a gap
        ({**GOOD, "__metadata__": {"x": 1}}, 26),
        ({**GOOD, "__metadata__": ["x"]}, 26),
        ({**GOOD, "a": None}, 26),
        ([], 26),
        (b"[" * 100_000, 26),  # nested too deeply
        (b"\xff\xfe{\x00}\x00", 26),  # UTF-16
        (GOOD, 25),  # cut short
        (GOOD, 27),  # more than it describes
    ],
)
def test_a_header_that_is_not_one_is_refused(tmp_path, header, data):
    path = write(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(MisoError, match="not a safetensors file|cut short|after its last tensor"):
        read_header(path)
    with pytest.raises(MisoError), open_tensors(path):
        pass


@given(st.data())
def test_what_the_header_check_lets_pass_can_be_opened(data):
    """Bytes changed anywhere in a good file: refused in words, or opened by safetensors itself."""
    path = write(
        Path(os.environ.get("TMPDIR", "/tmp")) / f"miso-{os.getpid()}.safetensors",
        {**GOOD, "__metadata__": {"x": "y"}},
    )
    try:
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            _, entries = read_header(path)
            with open_tensors(path) as file:
                for name in entries:
                    file.get_tensor(name)
        except MisoError:
            pass
    finally:
        path.unlink()


def test_only_regular_files_of_a_sane_size_are_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo.safetensors")
    for path in (tmp_path / "fifo.safetensors", tmp_path, Path("/dev/zero")):
        with pytest.raises(MisoError, match="is not a file"):
            read_header(path)
        with pytest.raises(MisoError, match="is not a file"):
            read_json(path)
    huge = tmp_path / "huge.safetensors"
    with huge.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER + 1) + b"{")
        file.truncate(MAX_HEADER + 100)  # sparse: takes no room
    with pytest.raises(MisoError, match="not a safetensors file"):
        read_header(huge)
    os.rename(huge, tmp_path / "huge.json")
    with pytest.raises(MisoError, match="too large"):
        read_json(tmp_path / "huge.json")


def test_json_errors_are_told_in_words():
    for text in ("{", "[" * 100_000, "\x00"):
        with pytest.raises(MisoError, match="The note is not valid JSON"):
            parse_json(text, "The note")
    assert parse_json('{"a": 1}', "x") == {"a": 1}


# a process whose files may have 1,000 bytes: writing more fails as it does on a full disk
FULL = """
import resource, signal, sys, torch
from miso.errors import MisoError
from miso.files import write_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_tensors(sys.argv[1], {"x": torch.zeros(10_000)}, {})
except MisoError as e:
    print(e)
"""


def test_a_full_disk_is_told_in_words_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "kept.safetensors"
    write_tensors(path, {"x": torch.ones(3)}, {})
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL, path], cwd=ROOT, capture_output=True, text=True)
    assert "can't be written" in done.stdout and "Free some space" in done.stdout, done.stderr
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["kept.safetensors"]


# tries to write where nothing can be written, and to keep an entry there
READ_ONLY = """
import sys, torch
from miso.errors import MisoError
from miso.files import write_tensors
sys.path[:0] = ["tests"]
from codes.entries import KEYS, make
from miso.codes.store import Store
try:
    write_tensors(sys.argv[1] + "/kept.safetensors", {"x": torch.zeros(10)}, {})
except MisoError as e:
    print(e)
print(Store(sys.argv[1]).put(KEYS[0], *make()))
"""


def test_a_read_only_disk_is_told_in_words(tmp_path):
    """A real one: the folder, mounted read-only in a mount namespace of this test."""
    write_tensors(tmp_path / "kept.safetensors", {"x": torch.ones(3)}, {})
    before = (tmp_path / "kept.safetensors").read_bytes()
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && '
    if subprocess.run(["unshare", "-rm", "sh", "-c", f"{mount} true", "", tmp_path]).returncode:
        pytest.skip("no mount namespaces here")
    command = ["unshare", "-rm", "sh", "-c", f'{mount} exec "$@"', "", tmp_path]
    command += [sys.executable, "-c", READ_ONLY, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    told, kept = done.stdout.splitlines()
    assert "can't be written" in told and "Read-only file system" in told, done.stderr
    assert kept == "False" and "could not be kept" in done.stderr
    assert (tmp_path / "kept.safetensors").read_bytes() == before
    assert os.listdir(tmp_path) == ["kept.safetensors"]


def test_devices_and_folders_are_not_replaced(tmp_path):
    (tmp_path / "folder.flac").mkdir()
    for path in (Path("/dev/null"), tmp_path / "folder.flac"):
        with pytest.raises(MisoError, match="is not a file, so it is not replaced"), replacing(path):
            pass
    assert Path("/dev/null").is_char_device() and not list((tmp_path / "folder.flac").iterdir())


def test_a_written_file_has_the_permissions_of_an_ordinary_one(tmp_path):
    with replacing(tmp_path / "ours") as temporary:
        temporary.write_text("x")
    (tmp_path / "ordinary").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_tensors_have_the_permissions_of_an_ordinary_file(tmp_path):
    """Others on the machine can read a shared output folder."""
    (tmp_path / "ordinary").touch()
    write_tensors(tmp_path / "ours.safetensors", {"a": torch.zeros(2)}, {})
    assert (tmp_path / "ours.safetensors").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_what_names_a_file_in_a_folder():
    names = ("a.safetensors", "ü b.json", "../a", "/a", "a/b", "a\\b", "a\0", "\ud800", "..", "", None, 1)
    assert [is_name(name) for name in names] == [True, True, *[False] * 10]


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a" * 5000])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(MisoError, match="can't be written"), replacing(tmp_path / name):
        pass
    with pytest.raises(MisoError):
        read_json(tmp_path / name)


def test_text_is_read_or_what_is_wrong_with_it_is_said(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n".encode())
    assert read_text(path) == "one\r\n"
    path.write_bytes(b"one \xff")
    with pytest.raises(MisoError, match="a.txt can't be read as UTF-8: invalid start byte at byte 4. Save"):
        read_text(path)
    monkeypatch.setattr("miso.files.MAX_TEXT", 3)
    with pytest.raises(MisoError, match="too large"):
        read_text(path)
    with pytest.raises(MisoError, match="none.txt can't be read: No such file or directory. Check the path"):
        read_text(tmp_path / "none.txt")
