"""The store when processes are killed, clocks jump, files can't be removed and other servers interfere."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from codes.entries import KEYS, equal, make, spoil

from miso.cli import main
from miso.codes.store import LATEST, NOTE, Store

ROOT = Path(__file__).parents[2]

# Writes entries for ever; the parent kills it wherever it happens to be.
WRITER = """
import sys
sys.path[:0] = ["tests"]
from codes.entries import KEYS, make
from miso.codes.store import Store
made = [make(i, frames=4000) for i in range(2)]
print("ready", flush=True)
while True:
    for key, entry in zip(KEYS, made):
        Store(sys.argv[1]).put(key, *entry)
"""


def test_killed_writes_leave_whole_entries_only(tmp_path):
    folder = tmp_path / "kept"
    for delay in (0.0, 0.05):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout and writer.stdout.readline() == "ready\n"
        until = time.monotonic() + 10
        while not (folder.is_dir() and os.listdir(folder)) and time.monotonic() < until:
            pass
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    store = Store(folder)
    assert store.verify() == []
    for i, key in enumerate(KEYS[:2]):
        found = store.get(key)
        assert found is None or equal(found, make(i, frames=4000))
    for name in os.listdir(folder):  # an hour later
        os.utime(folder / name, (time.time() - 4000,) * 2)
    store.prune()
    assert all(not name.startswith(".") for name in os.listdir(folder))


def test_leftovers_are_swept_if_they_are_old_and_ours(tmp_path):
    names = [f".{KEYS[0]}.0123456789abcdef.safetensors", ".tmpAb12Zz", f"{KEYS[1]}.hidden.safetensors"]
    others = [".tmp", ".tmpnotours", "notes.txt", ".gitignore"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    store = Store(tmp_path)
    store.prune()
    assert set(os.listdir(tmp_path)) == {*names, *others}  # they may be in use
    for name in (*names, *others):
        os.utime(tmp_path / name, (1, 1))
    store.prune()
    assert set(os.listdir(tmp_path)) == set(others)


def test_a_new_entry_in_the_place_of_a_damaged_one_stays(tmp_path, monkeypatch, caplog):
    """Another server writes it after this one has read the damaged file."""
    store = Store(tmp_path)
    store.put(KEYS[0], *make())
    spoil(store, KEYS[0], **{NOTE: "[]"})
    read = Store._read

    def reads_while_another_writes(self, key):
        try:
            return read(self, key)
        finally:
            Store(tmp_path).put(KEYS[0], *make())

    monkeypatch.setattr(Store, "_read", reads_while_another_writes)
    assert store.get(KEYS[0]) is None and "damaged" not in caplog.text
    monkeypatch.undo()
    assert equal(store.get(KEYS[0]), make())


def test_a_vanished_entry_is_not_called_damaged(tmp_path, monkeypatch, caplog):
    store = Store(tmp_path)
    store.put(KEYS[0], *make())
    read = Store._read

    def vanishes(self, key):
        (tmp_path / f"{key}.safetensors").unlink()
        return read(self, key)

    monkeypatch.setattr(Store, "_read", vanishes)
    assert store.get(KEYS[0]) is None and store.verify() == [] and "damaged" not in caplog.text


def test_prune_counts_what_it_removed(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(KEYS[0], *make())
    store.put(KEYS[1], *make())
    unlink = Path.unlink

    def refuses(path, missing_ok=False):
        if path.name.startswith("a"):
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuses)
    assert store.prune(0) == 1 and [kept.key for kept in store.list()] == [KEYS[0]]


@pytest.mark.parametrize("made", [float("inf"), float("nan"), 1e300, -1, "1", True, None, 10**15])
def test_odd_times_of_entries_hide_those_alone(tmp_path, capsys, made):
    store = Store(tmp_path)
    store.put(KEYS[0], *make())
    store.put(KEYS[1], *make())
    spoil(store, KEYS[1], **{NOTE: json.dumps({"made": made, "hidden": None})})
    assert main(["cache", "list", "--dir", str(tmp_path)]) == 0
    assert "1 kept" in capsys.readouterr().out


def test_a_clock_that_jumps_costs_nothing_kept(tmp_path, monkeypatch):
    entry = make()
    store = Store(tmp_path)
    for i, now in enumerate((time.time(), 0.0, 4e9)):
        monkeypatch.setattr(time, "time", lambda: now)  # noqa: B023
        store.put(KEYS[i], *entry)
        os.utime(tmp_path / f"{KEYS[i]}.safetensors", (now, now))
    assert {kept.key for kept in store.list()} == set(KEYS[:3])
    assert all(equal(store.get(key), entry) for key in KEYS[:3])
    size = sum(kept.size for kept in store.list())
    assert store.prune(size - 1) == 1 and len(store.list()) == 2


def test_clear_takes_the_turns_too(tmp_path):
    Store(tmp_path).put(KEYS[0], *make())
    Store(tmp_path / LATEST).put(KEYS[1], *make())
    assert Store(tmp_path).clear() == 2
    assert not list(tmp_path.rglob("*.safetensors"))
