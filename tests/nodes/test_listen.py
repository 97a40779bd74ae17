"""Sounds that the page can play."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def listen(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(
        fresh.module("nodes.listen").folder_paths, "get_temp_directory", lambda: str(tmp_path)
    )
    return fresh.module("nodes.listen")


def test_sounds_are_bounded_and_the_least_recently_used_go(listen, monkeypatch, tmp_path):
    def write(seed: int) -> Path:
        pcm = np.random.default_rng(seed).integers(-9999, 9999, 24_000, np.int16).tobytes()
        return tmp_path / "miso" / listen.decoded_file(pcm, 24_000)["filename"]

    first, second = write(1), write(2)
    monkeypatch.setattr(listen, "LIMIT", 2.5 * first.stat().st_size)
    for path, age in ((first, 200), (second, 100)):
        os.utime(path, (path.stat().st_atime - age, path.stat().st_mtime))
    assert write(1) == first  # used again, so the second is the older one
    third = write(3)
    assert first.exists() and third.exists() and not second.exists()
