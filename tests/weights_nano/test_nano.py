"""The embedded checkpoint: what it says is understood, by a recogniser, and a seed's codes stay what they are."""

import json
from pathlib import Path

import pytest
import torch

from miso import Miso, Segment
from miso.checkpoints.find import BUNDLED, find_codec, find_vocoder
from miso.training import judges
from miso.training.evaluate import evaluate

MODEL, CODEC, VOCODER = (BUNDLED / f"nano{part}.safetensors" for part in ("", "-codec", "-vocoder"))


def test_it_is_small_and_says_what_it_is():
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 60_000_000
    card = (BUNDLED / "README.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("Kokoro", "Apache-2.0", "WordNet", "WER"))
    assert (
        find_codec("nano", Path("nowhere"), Path("nowhere")) == CODEC
        and find_vocoder("nano", Path("nowhere"), Path("nowhere")) == VOCODER
    )


@pytest.fixture(scope="module")
def heard() -> dict[str, float]:
    """Figures of 20 sentences."""
    if "whisper" not in judges.installed():
        pytest.skip(f"no recogniser here: {judges.Whisper.install}")
    return evaluate(MODEL, CODEC, vocoder=VOCODER, sentences=20, judges=["whisper"], log=lambda line: None)[
        "figures"
    ]["model"]


def test_a_recogniser_understands_it(heard):
    assert heard["wer_whisper"] <= 0.25
    assert heard["floor_whisper"] > 0.85  # the recogniser doesn't guess
    assert heard["ended"] >= 0.95


def test_a_seed_gives_the_same_codes():
    """As recorded on another day. Each code is drawn from a number known beforehand, so what a processor's rounding does to the
    logits changes one only where that number falls within rounding of a boundary: one draw in about 100,000."""
    torch.set_num_threads(1)
    loop = Miso(MODEL, device="cpu").sample(
        [Segment("Every word you hear was first a handful of codes.")], seeds=[7], max_seconds=8
    )
    list(loop)
    assert loop.codes.tensor[0].tolist() == json.loads(Path(__file__).with_name("seed_7.json").read_text())
