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
    """Figures of 6 sentences, or of 20 with --slow."""
    sentences = 20 if pytestconfig.getoption("--slow") else 6
    result = evaluate(
        MODEL, CODEC, vocoder=VOCODER, sentences=sentences, judges=["whisper"], log=lambda line: None
    )
    return result["figures"]["model"]


def test_a_recogniser_understands_it(figures):
    assert figures["wer_whisper"] <= 0.1
    assert figures["floor_whisper"] > 0.85  # the recogniser doesn't guess
    assert figures["ended"] >= 0.95


def test_a_recogniser_understands_words_said_alone(whisper):
    """Not "No": the recogniser hears "now", also where the synthesiser says it."""
    miso, vocoder = Miso(MODEL, device="cpu"), load_vocoder("auto", VOCODER)
    right = 0
    for word in ("Yes", "Stop", "Hello", "Thanks", "Wait", "Tomorrow"):
        loop = miso.sample([Segment(word)], seeds=[1, 2], max_seconds=6)
        list(loop)
        for take in range(2):
            wave = vocoder.decode(loop.codes.take(take).tensor)[0, 0]
            heard = whisper(resample(wave, vocoder.sample_rate, judges.RATE).numpy())
            right += plain(heard) == word.lower()
    assert right >= 9  # of 12


def test_a_seed_gives_the_recorded_codes():
    """Another processor's rounding changes about one code in 100,000.

    The random number of each draw is fixed in advance; it would have to lie within rounding of a boundary.
    """
    torch.set_num_threads(1)
    segment = Segment("Every word you hear was first a handful of codes.")
    loop = Miso(MODEL, device="cpu").sample([segment], seeds=[7], max_seconds=8)
    list(loop)
    assert loop.codes.tensor[0].tolist() == json.loads(Path(__file__).with_name("seed_7.json").read_text())
