"""Subtitles of words: cues of a few words, and every format as its readers want it."""

import json
import re

import pytest
import torch

from miso.codes.codes import Codes
from miso.codes.subtitles import WORD_FORMATS, word_json, word_labels, word_srt, word_vtt
from miso.codes.takes import Span, Take, Word


def codes(*texts: str, starts: list[float] | None = None, speakers: int = 1) -> Codes:
    """Words of five frames (0.4 s) each, with half a frame between; a span for each half of them."""
    places = starts or [5.5 * i for i in range(len(texts))]
    words = tuple(Word(text, a, a + 5, 0.75) for text, a in zip(texts, places))
    frames = int(places[-1]) + 6 if texts else 4
    middle = int(places[len(texts) // 2]) if speakers > 1 else frames
    spans = (Span(0, middle, "x", 0), *([Span(middle, frames, "y", 3)] if speakers > 1 else []))
    return Codes(
        torch.ones(1, 1, frames, dtype=torch.int64), [frames], "nano", takes=(Take(spans=spans, words=words),)
    )


def test_formats_word_for_word():
    made = codes("Tom", "&", "<Anna>\n said.", "Go!")
    assert word_srt(made) == (
        "1\n00:00:00,000 --> 00:00:01,280\nTom & <Anna> said.\n\n2\n00:00:01,320 --> 00:00:01,720\nGo!\n"
    )
    assert word_vtt(made) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.280\n"
        "Tom <00:00:00.440>&amp; <00:00:00.880>&lt;Anna&gt; said.\n\n"
        "00:00:01.320 --> 00:00:01.720\nGo!\n"
    )
    assert word_labels(made).splitlines()[2] == "0.880\t1.280\t<Anna> said."
    first = json.loads(word_json(made))["words"][0]
    assert first == {"text": "Tom", "start": 0, "end": 0.4, "confidence": 0.75, "speaker": 0}


def cues(made: Codes) -> list[str]:
    return re.findall(r"-->.*\n(.*)\n", word_srt(made))


@pytest.mark.parametrize(
    "made, expected",
    [
        (codes("One.", "Two?", "'Three!'", "four"), ["One.", "Two?", "'Three!'", "four"]),
        (codes("a", "b", "c", starts=[0, 6, 30]), ["a b", "c"]),  # a pause
        (codes("a", "b", "c", "d", speakers=2), ["a b", "c d"]),
        (codes(*["word"] * 10), ["word " * 7 + "word", "word word"]),  # 42 letters
        (codes(*["a"] * 12), [" ".join("a" * 9), "a a a"]),  # 4 s
        (codes("a" * 60, "b"), ["a" * 60, "b"]),
        (codes(), []),
    ],
)
def test_where_a_cue_ends(made, expected):
    assert cues(made) == expected


def test_codes_without_words_have_no_cues():
    assert [write(codes()) for write in WORD_FORMATS.values()] == ["", "WEBVTT\n", "", '{\n "words": []\n}\n']


def test_words_of_no_length_get_cues_that_are_seen_and_do_not_overlap():
    places = [
        ("One.", 0, 0),
        ("Two.", 0, 0),
        ("Three.", 2, 2),
        ("four", 10, 10),
        ("five", 10, 10),
        ("six", 11, 11),
    ]
    take = Take(words=tuple(Word(text, start, end, 0.5) for text, start, end in places))
    made = Codes(torch.ones(1, 1, 12, dtype=torch.int64), [12], "nano", takes=(take,))
    times = re.findall(r"00:00:(.*) --> 00:00:(.*)", word_srt(made))
    assert times == [("00,000", "00,080"), ("00,080", "00,160"), ("00,160", "00,460"), ("00,800", "01,100")]
    assert word_vtt(made).endswith("00:00:00.800 --> 00:00:01.100\nfour five <00:00:00.880>six\n")
