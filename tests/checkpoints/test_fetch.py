"""Fetching: only what was asked for, the tokenizer first, into the models folder. The hub itself is stood in for."""

from pathlib import Path

import huggingface_hub
import pytest

from miso.checkpoints import fetch as download
from miso.checkpoints import find as places
from miso.errors import MisoError


@pytest.fixture
def hub(monkeypatch):
    """A hub that writes small files and notes what was asked of it; ``hub.fail`` makes a repository refuse."""

    class Hub(list):
        fail: dict = {}

    asked = Hub()

    def hf_hub_download(repository, file, *, local_dir, tqdm_class=None):
        asked.append(f"{repository}/{file}")
        if repository in asked.fail:
            raise asked.fail[repository]
        if tqdm_class:
            with tqdm_class(total=10, desc=file) as bar:
                bar.update(4)
                bar.update(6)
        Path(local_dir).mkdir(parents=True, exist_ok=True)
        (Path(local_dir) / file).write_bytes(b"x")
        return str(Path(local_dir) / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    return asked


def test_the_tokenizer_comes_first(hub, tmp_path):
    seen = []
    path = download.fetch_file("miso-8b-bf16", tmp_path, progress=lambda *p: seen.append(p))
    assert hub == ["unsloth/Llama-3.2-1B/tokenizer.json", "drbaph/MisoTTS-BF16/misotts-bf16.safetensors"]
    assert (
        path
        == tmp_path / "miso" / "MisoTTS-BF16" / "misotts-bf16.safetensors"
        == places.find_checkpoint("miso-8b-bf16", tmp_path)
    )
    assert seen == [(4, 10), (10, 10)]
    assert (
        download.fetch_file("miso-8b-bf16", tmp_path) == path and len(hub) == 2
    )  # what is there is not asked for again


def test_a_tokenizer_that_is_there_is_enough(hub, tmp_path, comfyui):
    download.fetch_file(
        "csm-1b",
        tmp_path,
        tokenizers=[comfyui / "comfy" / "text_encoders" / "llama_tokenizer" / "tokenizer.json"],
    )
    assert hub == ["sesame/csm-1b/model.safetensors"]


def test_without_a_tokenizer_nothing_large_is_fetched(hub, tmp_path):
    hub.fail = {"unsloth/Llama-3.2-1B": OSError("403 Client Error\nlong story")}
    with pytest.raises(MisoError, match="Llama-3.2-1B/tokenizer.json can't be fetched .*403") as e:
        download.fetch_file("miso-8b", tmp_path)
    assert len(hub) == 1 and "resumes where it stopped" in e.value.remedy and "long story" not in str(e.value)


def test_a_vocoder_needs_no_tokenizer(hub, tmp_path):
    download.fetch_file("mimi", tmp_path)
    assert (
        hub == ["kyutai/mimi/model.safetensors"]
        and (tmp_path / "miso_vocoders" / "mimi" / "model.safetensors").is_file()
    )


def test_an_interrupt_ends_the_fetch(hub, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch_file("mimi", tmp_path, progress=stop)
    assert not (tmp_path / "miso_vocoders" / "mimi" / "model.safetensors").exists()


def test_unknown_names(hub, tmp_path):
    with pytest.raises(MisoError, match="no known checkpoint 'gpt-9'"):
        download.fetch_file("gpt-9", tmp_path)
    for name, words in (("gpt-9", "no checkpoint at gpt-9"), ("miso-8b", "fetch miso-8b")):
        with pytest.raises(MisoError, match=words):
            places.find_checkpoint(name, tmp_path)
    assert not hub


def test_codecs_are_found_by_what_they_know(tmp_path):
    from make_tiny import make_tiny

    make_tiny(tmp_path)
    (tmp_path / "notes.safetensors").write_text("no such thing")
    assert places.find_codec("tiny", tmp_path, tmp_path / "models") == tmp_path / "tiny-codec.safetensors"
    with pytest.raises(MisoError, match="fetch mimi"):
        places.find_codec("mimi-e351c8d8", tmp_path, tmp_path / "models")
