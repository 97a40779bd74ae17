"""Speech of two made-up voices, as files, prepared, and as codes that spell its text."""

import io
import random
import tarfile

import pytest
import torch
from training.helpers import sound, wav_bytes
from training.letters import coded_speech

from miso.training.prepare import prepare
from miso.training.presets import settings

WORDS = ["bad", "cab", "dab", "fed", "gab", "had", "jab", "keg", "lad", "mad"]


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """One OpenMP thread, for shared fixtures too: their runs must equal those of the tests to the bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A folder for ``train prepare``: two voices of 60 lines, the files of one voice in a .tar."""
    folder, rng, table = tmp_path_factory.mktemp("source"), random.Random(0), []
    (folder / "low").mkdir()
    with tarfile.open(folder / "high.tar", "w") as tar:
        for line in range(60):
            text = " ".join(rng.sample(WORDS, 2))
            for voice, pitch in (("low", 1.0), ("high", 1.5)):
                name, data = f"{voice}/{line:05d}.wav", wav_bytes(sound(text, pitch))
                table.append(f"{name}\t{text}\t1.0\t{voice}\n")
                if voice == "low":
                    (folder / name).write_bytes(data)
                    continue
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    (folder / "transcripts.tsv").write_text("".join(table))
    return folder


@pytest.fixture(scope="session")
def speech(source, tmp_path_factory):
    return prepare([source], tmp_path_factory.mktemp("prepared"), seconds=(0.3, 10))


@pytest.fixture(scope="session")
def texts():
    rng = random.Random(1)
    return [" ".join(rng.sample(WORDS[:8], rng.choice([1, 2]))) for _ in range(40)]


@pytest.fixture(scope="session")
def data(texts, tmp_path_factory):
    return coded_speech(tmp_path_factory.mktemp("data") / "codes.safetensors", texts)


@pytest.fixture
def setting():
    return settings("lm", "tiny")
