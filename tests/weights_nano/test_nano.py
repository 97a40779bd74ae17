"""The embedded checkpoint: a recogniser understands it, and a seed gives the recorded codes."""

import json
from pathlib import Path

import pytest
import torch

from miso import Miso, Segment, load_vocoder
from miso.audio.resampling import resample
from miso.audio.word_errors import plain
from miso.checkpoints.find import BUNDLED, find_codec, find_vocoder
from miso.training import judges
from miso.training.evaluate import evaluate
from miso.vocoders.vocoder import Vocoder

MODEL, CODEC, VOCODER = (BUNDLED / f"nano{part}.safetensors" for part in ("", "-codec", "-vocoder"))


def test_it_is_small_and_has_a_model_card():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 60_000_000
    card = (BUNDLED / "README.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("Kokoro", "Apache-2.0", "WordNet", "WER"))
    nowhere = Path("nowhere")
    assert find_codec("nano-2", nowhere, nowhere) == CODEC
    assert find_vocoder("nano-2", nowhere, nowhere) == VOCODER


@pytest.fixture(scope="module")
def whisper() -> judges.Whisper:
    if "whisper" not in judges.installed():
        pytest.skip(f"no recogniser is installed: {judges.Whisper.install}")
    return judges.Whisper()


@pytest.fixture(scope="module")
def figures(pytestconfig, whisper) -> dict[str, float]:
    """Figures of 20 everyday sentences, or of 60 with --slow."""
    sentences = 60 if pytestconfig.getoption("--slow") else 20
    result = evaluate(
        MODEL, CODEC, vocoder=VOCODER, sentences=sentences, judges=["whisper"], log=lambda line: None
    )
    return result["figures"]["model"]


@pytest.fixture(scope="module")
def speaker() -> tuple[Miso, Vocoder]:
    return Miso(MODEL, device="cpu"), load_vocoder("auto", VOCODER)


def heard(
    speaker: tuple[Miso, Vocoder], whisper: judges.Whisper, segment: Segment, seed: int = 1
) -> list[str]:
    """The words that the recogniser understands of a take, which must have ended by itself."""
    miso, vocoder = speaker
    loop = miso.sample([segment], seeds=[seed], max_seconds=8)
    list(loop)
    assert loop.codes.takes[0].stop == "eos"
    wave = vocoder.decode(loop.codes.tensor)[0, 0]
    return plain(whisper(resample(wave, vocoder.sample_rate, judges.RATE).numpy())).split()


def test_a_recogniser_understands_it(figures):
    assert figures["wer_whisper"] <= 0.06
    assert figures["floor_whisper"] > 0.85  # the recogniser doesn't guess
    assert figures["ended"] >= 0.95


def test_a_recogniser_understands_words_said_alone(whisper, speaker):
    """Without a mark. Not "No": the recogniser hears "now", also where the synthesiser says it."""
    words = "Yes", "Stop", "Hello", "Thanks", "Wait", "Tomorrow", "Maybe", "Never", "Music", "Seven"
    right = sum(heard(speaker, whisper, Segment(word)) == [word.lower()] for word in words)
    assert right >= 8


def test_every_voice_is_understood(whisper, speaker):
    wanted, missed = plain("We walked home in the rain and talked about the summer.").split(), {}
    for number, voice in enumerate(speaker[0].checkpoint.config.voices):
        words = heard(speaker, whisper, Segment(" ".join(wanted), number))
        missed[voice] = sum(word not in words for word in wanted)
    assert len(missed) == 28 and max(missed.values()) <= 4, missed  # of 11 words
    assert sum(missed.values()) <= 28, missed


def test_a_seed_gives_the_recorded_codes():
    """Another processor's rounding changes about one code in 100,000.

    The random number of each draw is fixed in advance; it would have to lie within rounding of a boundary.
    """
    torch.set_num_threads(1)
    segment = Segment("Every word you hear was first a handful of codes.")
    loop = Miso(MODEL, device="cpu").sample([segment], seeds=[7], max_seconds=8)
    list(loop)
    assert loop.codes.tensor[0].tolist() == json.loads(Path(__file__).with_name("seed_7.json").read_text())
