"""Finding and fetching checkpoints, with a mock of the Hugging Face Hub."""

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from miso.checkpoints.fetch import fetch_file
from miso.checkpoints.find import PUBLISHED, find_checkpoint, find_codec, find_published
from miso.errors import MisoError


@pytest.fixture
def hub(monkeypatch):
    """The list of requested files; ``hub.fail`` maps a repository to the exception that it raises."""

    class Hub(list):
        fail: dict = {}

    requests = Hub()

    def hf_hub_download(repository, file, *, local_dir, tqdm_class=None):
        requests.append(f"{repository}/{file}")
        if repository in requests.fail:
            raise requests.fail[repository]
        if tqdm_class:
            with tqdm_class(total=10, desc=file) as bar:
                bar.update(4)
                bar.update(6)
        path = Path(local_dir) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    # small files have a checksum of another kind
    about = SimpleNamespace(etag="d670460b4b4aece5915caf5c68d12f560a9fe3e4")
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url: about)
    return requests


def test_the_tokenizer_comes_first(hub, tmp_path):
    seen = []
    path = fetch_file("miso-8b-bf16", tmp_path, progress=lambda *p: seen.append(p))
    assert hub == ["unsloth/Llama-3.2-1B/tokenizer.json", "drbaph/MisoTTS-BF16/misotts-bf16.safetensors"]
    assert path == tmp_path / "miso" / "MisoTTS-BF16" / "misotts-bf16.safetensors"
    assert path == find_checkpoint("miso-8b-bf16", tmp_path)
    assert seen == [(4, 10), (10, 10)]
    # an existing file is not requested again
    assert fetch_file("miso-8b-bf16", tmp_path) == path and len(hub) == 2


def test_the_first_models_folder_with_the_file_is_used(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    assert find_published("mimi", folders) is None
    for folder in folders[1:]:
        path = PUBLISHED["mimi"].path(folder)
        path.parent.mkdir(parents=True)
        path.touch()
    assert find_published("mimi", folders) == PUBLISHED["mimi"].path(folders[1])


def test_an_existing_tokenizer_is_not_fetched(hub, tmp_path, comfyui):
    tokenizer = comfyui / "comfy" / "text_encoders" / "llama_tokenizer" / "tokenizer.json"
    fetch_file("csm-1b", tmp_path, tokenizers=[tokenizer])
    assert hub == ["sesame/csm-1b/model.safetensors"]


def test_without_a_tokenizer_nothing_large_is_fetched(hub, tmp_path):
    hub.fail = {"unsloth/Llama-3.2-1B": OSError("403 Client Error\nlong story")}
    with pytest.raises(MisoError, match="Llama-3.2-1B/tokenizer.json can't be fetched .*403") as e:
        fetch_file("miso-8b", tmp_path)
    assert len(hub) == 1 and "try again" in e.value.remedy and "long story" not in str(e.value)


def test_a_vocoder_needs_no_tokenizer(hub, tmp_path):
    fetch_file("mimi", tmp_path)
    assert hub == ["kyutai/mimi/model.safetensors"]
    assert (tmp_path / "miso_vocoders" / "mimi" / "model.safetensors").is_file()


def test_a_file_of_a_folder_comes_with_the_one_beside_it(hub, tmp_path):
    path = fetch_file("lfm2-detokenizer", tmp_path)
    folder = tmp_path / "miso_vocoders" / "LFM2.5-Audio-1.5B" / "audio_detokenizer"
    assert path == folder / "model.safetensors" and (folder / "config.json").is_file()
    assert hub[0].endswith("/config.json") and find_published("lfm2-detokenizer", [tmp_path]) == path


def test_a_recogniser_comes_with_its_small_files_first(hub, tmp_path):
    path = fetch_file("whisper-base", tmp_path)
    assert path == tmp_path / "miso_asr" / "whisper-base" / "model.safetensors"
    assert hub[0] == "openai/whisper-base/config.json" and hub[-1] == "openai/whisper-base/model.safetensors"
    assert (path.parent / "tokenizer.json").is_file() and fetch_file("whisper-base", tmp_path) == path


def test_a_fetch_can_be_interrupted(hub, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_file("mimi", tmp_path, progress=stop)
    assert not (tmp_path / "miso_vocoders" / "mimi" / "model.safetensors").exists()


def test_unknown_names(hub, tmp_path):
    with pytest.raises(MisoError, match="no known checkpoint 'gpt-9'"):
        fetch_file("gpt-9", tmp_path)
    for name, words in (("gpt-9", "no checkpoint at gpt-9"), ("miso-8b", "fetch miso-8b")):
        with pytest.raises(MisoError, match=words):
            find_checkpoint(name, tmp_path)
    assert not hub


def test_codecs_are_found_by_their_codec_id(tmp_path):
    from make_tiny import make_tiny

    make_tiny(tmp_path)
    (tmp_path / "notes.safetensors").write_text("not safetensors")
    assert find_codec("tiny", tmp_path, tmp_path / "models") == tmp_path / "tiny-codec.safetensors"
    with pytest.raises(MisoError, match="fetch mimi"):
        find_codec("mimi-e351c8d8", tmp_path, tmp_path / "models")
