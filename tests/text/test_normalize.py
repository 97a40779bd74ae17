"""Written text in words: the table of texts, and what holds for any text."""

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miso.errors import MisoError
from miso.text.normalization.leftovers import PUNCTUATION
from miso.text.normalize import LONGEST, normalize
from miso.training.evaluate import SENTENCES

TABLE = [
    line.split("\t")
    for line in Path(__file__).with_name("spoken.tsv").read_text(encoding="utf-8").splitlines()
]
PIECES = (
    "1 2 10 12 1905 2024 1,000 3.14 007 ½ ² ° °C % $ € ¥ ¢ kg km/h m² : / - – — . , ' \" ( ) [ ] ^ * + = < "
    "> # & @ ~ _ x st th s am p.m. May Dec. St. Dr. No. vs. etc. Henry Chapter VIII IV I US IT WHO the a and "
    "www. .com http:// 🙂 你好 π Ж é \n \t word Word"
).split(" ")
MIXED = st.lists(st.sampled_from(PIECES) | st.sampled_from([" ", " ", "\n"]), max_size=12).map("".join)


@pytest.mark.parametrize("text, said", TABLE, ids=[text for text, _ in TABLE])
def test_the_table(text, said):
    assert normalize(text).text == said
    assert normalize(said).text == said


def test_the_table_is_long_enough():
    assert len(TABLE) >= 60 and all(len(row) == 2 for row in TABLE)


def test_plain_sentences_stay_as_they_are():
    """What was spoken before keeps its prompt, and so the key of its kept codes."""
    for line in SENTENCES.read_text(encoding="utf-8").splitlines():
        assert normalize(line).text == line.strip() and not normalize(line).left_out


def test_what_is_left_out_is_said():
    left = normalize("Hi 🙂🙂 there ★ 你好, мир ♪ \x07 :-)").left_out
    assert left == (
        ":-) (emoticons)",
        "🙂🙂 (emoji)",
        "★ (signs)",
        "你好 (Chinese characters)",
        "мир (Cyrillic letters)",
        "♪ (signs)",
        "control characters",
    )
    digits = normalize("9" * 5000)
    assert digits.left_out == ("4900 of 5000 (digits)",) and digits.text.count("nine") == 100
    many = normalize(" ".join(chr(0x4E00 + i) + "a" for i in range(100))).left_out
    assert len(many) == 21 and many[-1] == "and 80 more"


@given(MIXED | st.text(max_size=60))
@settings(max_examples=400)
@example("1½½")
@example("5'6'7\"8")
def test_any_text_is_read_once(text):
    """No digit and no sign is left, and reading it again changes nothing."""
    said = normalize(text).text
    assert normalize(said).text == said
    assert not any(c.isdigit() for c in said)
    assert all(c.isalpha() or c in " \n" + PUNCTUATION or "\u0300" <= c for c in said), said


@pytest.mark.parametrize("unit", [
    "a", "1", "a ", "1 ", "1,", "1.", "1-", "a-", "a.", ".", "@", "a@", "http://", "(", "$", "'", "1:", "1/",
    "^", "🙂", "你", "-", " ", "\n", "St. ", "Henry I", "[a](/", "_", "1a", "ratio ", ":)",
])  # fmt: skip
def test_the_time_grows_with_the_length_only(unit):
    """A text sixteen times as long takes less than sixty times as long: no pattern looks back over all."""

    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        began = time.process_time()
        normalize(text)
        return time.process_time() - began

    seconds(100)  # compiles the patterns
    assert seconds(8_000) < 60 * max(seconds(500), 0.002)


def test_bounds():
    with pytest.raises(MisoError, match="Text too long: it has 200,001 characters"):
        normalize("a" * (LONGEST + 1))
    with pytest.raises(MisoError, match="can't be normalized. Choose one of: en."):
        normalize("Hallo", "xx")


def test_phonemes_in_a_text_stay():
    assert normalize("[Miso](/mˈizO/) 5kg.").text == "[Miso](/mˈizO/) five kilograms."


def test_without_the_package_for_numbers(monkeypatch):
    import sys

    from miso.text.normalization import numerals

    monkeypatch.setitem(sys.modules, "num2words", None)
    for kept in (numerals._num2words, numerals._words):
        kept.cache_clear()
    with pytest.raises(MisoError, match="pip install num2words"):
        normalize("5 kg")
    assert normalize("Plain words.").text == "Plain words."
    numerals._num2words.cache_clear()
