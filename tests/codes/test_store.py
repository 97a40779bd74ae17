"""The store: entries are found again exactly, removed when damaged, limited in size, and safe to share."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from codes.entries import KEYS, equal, make, spoil

from miso.cli import main
from miso.codes.codes import Codes
from miso.codes.hidden import Hidden
from miso.codes.store import NOTE, Store
from miso.codes.takes import Take
from miso.errors import MisoError
from miso.files import read_header

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "kept")


def age(store, key, seconds):
    path = store.folder / f"{key}.safetensors"
    os.utime(path, (time.time() - seconds,) * 2)


def test_entries_are_found_again_exactly(store):
    made = make()
    assert store.get(KEYS[0]) is None and store.list() == [] and store.prune() == 0
    assert store.put(KEYS[0], *made)
    assert equal(Store(store.folder).get(KEYS[0]), made)
    assert store.put(KEYS[1], made[0]) and store.get(KEYS[1])[1] is None
    path = store.folder / f"{KEYS[0]}.safetensors"
    assert Codes.load(path).tensor.equal(made[0].tensor)  # ordinary files
    assert Hidden.load(path.with_suffix(".hidden.safetensors")).tensor.equal(made[1].tensor)


def test_takes_without_frames_are_kept(store):
    codes = Codes(torch.zeros(1, 32, 0, dtype=torch.int64), [0], "nano", takes=(Take(3, "eos"),))
    made = codes, Hidden(torch.zeros(1, 0, 16), codes.lengths, "m")
    assert store.put(KEYS[0], *made) and equal(store.get(KEYS[0]), made)


def test_interrupted_and_too_large_runs_are_not_kept(store):
    assert not store.put(KEYS[0], *make(stop="interrupted"))
    assert not Store(store.folder, limit=100).put(KEYS[0], *make())
    assert store.list() == []


def test_list(store):
    store.put(KEYS[0], *make(seed=5))
    store.put(KEYS[1], make(seed=7)[0])
    age(store, KEYS[0], 50)
    last, first = store.list()
    assert (last.key, last.text, last.seeds, last.hidden) == (KEYS[1], "Line 7.", (7, 8), False)
    assert (first.key, first.text, first.seeds, first.hidden) == (KEYS[0], "Line 5.", (5, 6), True)
    assert first.seconds == 1.6
    assert abs(first.made - time.time()) < 60 and abs(first.used - (time.time() - 50)) < 10
    assert first.size == sum(p.stat().st_size for p in store.folder.glob(f"{KEYS[0]}*"))
    store.get(KEYS[0])
    assert store.list()[0].key == KEYS[0]  # the most recently used


@pytest.mark.parametrize("name", [f"{KEYS[0]}.safetensors", f"{KEYS[0]}.hidden.safetensors"])
@pytest.mark.parametrize(
    "harm",
    [
        lambda data, other: data[:-500] + bytes([data[-500] ^ 1]) + data[-499:],
        lambda data, other: data[:40] + b"#" + data[41:],
        lambda data, other: data[:-30],
        lambda data, other: b"",
        lambda data, other: b"\x80\x04K\x01.",
        lambda data, other: other,  # the valid file of another entry
    ],
    ids=["flipped", "header", "cut", "empty", "pickle", "swapped"],
)
def test_a_damaged_entry_is_removed(store, name, harm, caplog):
    made, path = make(), store.folder / name
    store.put(KEYS[1], *make(seed=9))
    other = (store.folder / name.replace(KEYS[0], KEYS[1])).read_bytes()
    for notice in (lambda: store.get(KEYS[0]) is None, lambda: store.verify() == [KEYS[0]]):
        store.put(KEYS[0], *made)
        path.write_bytes(harm(path.read_bytes(), other))
        assert notice() and "damaged" in caplog.text
        assert [kept.key for kept in store.list()] == [KEYS[1]]
    assert store.put(KEYS[0], *made) and equal(store.get(KEYS[0]), made) and store.verify() == []


def test_files_of_others_are_not_entries(store):
    store.folder.mkdir()
    make()[0].save(store.folder / f"{KEYS[0]}.safetensors")
    assert store.list() == [] and store.get(KEYS[0]) is None
    store.put(KEYS[0], make()[0])
    (store.folder / f"{KEYS[0]}.safetensors").rename(store.folder / f"{KEYS[1]}.safetensors")
    assert store.get(KEYS[1]) is None  # nor is an entry under another key


def test_the_least_recently_used_is_removed_first(store):
    for i, key in enumerate(KEYS[:3]):
        store.put(key, *make(seed=i))
        age(store, key, 300 - 100 * i)
    store.get(KEYS[0])
    one = store.list()[0].size
    small = Store(store.folder, limit=int(one * 3.5))
    small.put(KEYS[3], *make(seed=3))
    assert {kept.key for kept in store.list()} == {KEYS[0], KEYS[2], KEYS[3]}
    assert store.prune(int(one * 1.5)) == 2 and [kept.key for kept in store.list()] == [KEYS[3]]
    assert store.clear() == 1 and list(store.folder.iterdir()) == []


def test_leftovers_of_a_crash_are_removed(store):
    store.put(KEYS[0], *make())
    old = [
        f".{KEYS[1]}.abc.safetensors",
        f".{KEYS[1]}.hidden.abc.safetensors",
        f"{KEYS[1]}.hidden.safetensors",
    ]
    new, foreign = f".{KEYS[2]}.abc.safetensors", "mine.safetensors"
    for name in [*old, new, foreign]:
        (store.folder / name).write_bytes(b"x")
        if name != new:
            os.utime(store.folder / name, (time.time() - 10_000,) * 2)
    store.prune()
    entry = {f"{KEYS[0]}.safetensors", f"{KEYS[0]}.hidden.safetensors"}
    assert {p.name for p in store.folder.iterdir()} == {*entry, new, foreign}


def test_a_folder_that_cant_be_written_is_no_error(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert not Store(tmp_path / "file" / "kept").put(KEYS[0], *make()) and "could not be kept" in caplog.text


def test_a_key_can_not_be_a_path(store):
    for key in ("../x", "", "A" * 64, "a" * 63):
        with pytest.raises(MisoError):
            store.get(key)


def test_several_servers_can_share_a_folder(tmp_path):
    """Threads as servers, each with its own Store: none ever sees an incomplete entry or an error."""
    made = [make(seed=i) for i in range(4)]
    folder, errors = tmp_path / "kept", []
    Store(folder).put(KEYS[0], *made[0])
    one = Store(folder).list()[0].size

    def work(n):
        store = Store(folder, limit=int(2.5 * one))
        try:
            for i in range(25):
                k = (i * 7 + n) % 4
                store.put(KEYS[k], *made[k])
                for j in range(4):
                    found = store.get(KEYS[j])
                    assert found is None or equal(found, made[j])
                store.list()
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    found = {key: Store(folder).get(key) for key in KEYS}
    assert any(found.values()) and all(equal(found[key], made[i]) for i, key in enumerate(KEYS) if found[key])


def test_the_command(store, capsys):
    store.put(KEYS[0], *make(seed=5))
    store.put(KEYS[1], *make(seed=7))
    run = ["--dir", str(store.folder)]
    assert main(["cache", "list", *run]) == 0
    out = capsys.readouterr().out
    assert "Line 5." in out and "seed 7, 8" in out and "1.60 s" in out and "2 kept" in out
    assert main(["cache", "verify", *run]) == 0
    path = store.folder / f"{KEYS[0]}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["cache", "verify", *run]) == 1 and "aaaaaaaaaaaa was damaged" in capsys.readouterr().out
    assert main(["cache", "prune", *run]) == 0 and len(store.list()) == 1
    assert main(["cache", "prune", "--limit", "0", *run]) == 0 and store.list() == []
    store.put(KEYS[1], *make(seed=7))
    assert main(["cache", "clear", *run]) == 0 and store.list() == []
    assert "1 removed" in capsys.readouterr().out
    with pytest.raises(MisoError, match="limit"):
        main(["cache", "prune", "--limit", "-1", *run])


def test_one_odd_entry_hides_no_other(store):
    """ComfyUI takes a block away whose list of choices can't be made."""
    store.put(KEYS[0], *make())
    good = json.loads(read_header(store.folder / f"{KEYS[0]}.safetensors")[0]["about"])
    odd = [
        {"about": json.dumps({**good, "frame_rate": 0})},
        {"about": json.dumps({**good, "frame_rate": 1e-300})},
        {"about": json.dumps({**good, "frame_rate": "x"})},
        {"about": json.dumps({**good, "takes": []})},
        {"about": json.dumps({**good, "takes": [{**good["takes"][0], "seed": {}}]})},
        {"about": "[" * 100_000},
        {NOTE: "[]"},
        {NOTE: "[" * 100_000},
        {NOTE: json.dumps({"made": "yesterday", "hidden": None})},
    ]
    for i, changes in enumerate(odd):
        key = f"{i:064x}"
        store.put(key, *make())
        spoil(store, key, **changes)
    os.symlink(
        store.folder / f"{'e' * 64}.safetensors", store.folder / f"{'e' * 64}.safetensors"
    )  # to itself
    os.symlink("nowhere", store.folder / f"{'f' * 64}.safetensors")
    (store.folder / f"{'d' * 64}.safetensors").mkdir()
    assert [kept.key for kept in store.list()] == [KEYS[0]]
    assert all(store.get(f"{i:064x}") is None for i in range(len(odd)))
    assert equal(store.get(KEYS[0]), make())


def test_a_file_in_the_folders_place_is_an_empty_store(tmp_path):
    (tmp_path / "kept").write_text("not a folder")
    store = Store(tmp_path / "kept")
    assert store.list() == [] and store.get(KEYS[0]) is None and store.prune() == 0
    assert store.put(KEYS[0], *make()) is False
    assert (tmp_path / "kept").read_text() == "not a folder"


# a process whose files may have 2,000 bytes: keeping more fails as it does on a full disk
FULL = """
import resource, signal, sys
sys.path[:0] = ["tests"]
from codes.entries import KEYS, make
from miso.codes.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
print(Store(sys.argv[1]).put(KEYS[0], *make()))
"""


def test_a_full_disk_costs_the_entry_alone(store):
    done = subprocess.run(
        [sys.executable, "-c", FULL, store.folder], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False" and "could not be kept" in done.stderr, done.stderr
    assert os.listdir(store.folder) == []
