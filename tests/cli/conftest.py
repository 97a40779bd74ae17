"""A tiny checkpoint, and ``say`` on it."""

from pathlib import Path

import pytest
import torch
from make_tiny import make_tiny

from miso.cli import main


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """One OpenMP thread: two wait for each other longer than the small matrices here take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def tiny(tmp_path_factory) -> Path:
    """A folder with tiny.safetensors and tiny-codec.safetensors."""
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder)
    return folder


@pytest.fixture
def run():
    """Run a command in this process; returns its exit status."""
    return lambda *arguments: main([str(argument) for argument in arguments])


@pytest.fixture
def say(tiny, tmp_path, run):
    """Run ``say`` on the tiny checkpoint for at most a second; returns the path of its output."""

    def say(text: str, name: str, *options) -> Path:
        path = tmp_path / name
        run("say", text, "--checkpoint", tiny / "tiny.safetensors", "--max-seconds", 1, "-o", path, *options)
        return path

    return say
