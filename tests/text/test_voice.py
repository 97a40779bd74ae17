"""Voices, and conversations kept in a file."""

import json

import pytest
import torch
from safetensors.torch import save_file

from miso.codes import editing
from miso.codes.codes import Codes
from miso.codes.subtitles import subtitles
from miso.codes.takes import Span, Take
from miso.errors import MisoError
from miso.text.conditioning import Segment
from miso.text.conversation import FORMAT, Conversation
from miso.text.voice import Voice, cast, cast_script, doubtful_names, numbered


def codes(text: str = "Hello there.", speaker: int = 0, frames: int = 10, codebooks: int = 8) -> Codes:
    take = Take(5, "eos", (Span(0, frames, text, speaker),) if text else (), -1.5)
    tensor = torch.arange(codebooks * frames).reshape(1, codebooks, frames)
    return Codes(tensor, torch.tensor([frames]), "nano", takes=(take,), source={"model": "m"})


def test_a_voice_is_a_codes_file_with_its_text(tmp_path):
    Voice.of("Anna", codes(speaker=3)).save(tmp_path / "Anna.safetensors")
    voice = Voice.load(tmp_path / "Anna.safetensors")
    assert (voice.name, voice.text, voice.speaker) == ("Anna", "Hello there.", 3)
    assert voice.codes.tensor.equal(codes().tensor) and voice.segment().voice
    plain = codes()
    plain.save(tmp_path / "any codes.safetensors")
    assert Voice.load(tmp_path / "any codes.safetensors").name == "any codes"
    told = Voice.of("Ben", codes(""), " Good day. ", 7)
    told.save(tmp_path / "Ben.safetensors")
    assert Codes.load(tmp_path / "Ben.safetensors").takes[0].spans == (Span(0, 10, "Good day.", 7),)


@pytest.mark.parametrize(
    "made, words",
    [
        (lambda: codes(""), "Transcript missing"),
        (lambda: editing.delete(codes(), 1, 3), "no longer exact"),
        (lambda: codes().like(codes().tensor.repeat(2, 1, 1)), "one take: there are 2"),
        (lambda: codes(frames=0), "no speech"),
    ],
)
def test_what_is_no_voice(tmp_path, made, words):
    with pytest.raises(MisoError, match=words):
        Voice.of("x", made())
    made().save(tmp_path / "x.safetensors")
    with pytest.raises(MisoError, match="x.safetensors is no voice"):
        Voice.load(tmp_path / "x.safetensors")


def test_who_gets_which_voice():
    anna, ben, eve = (Voice.of(name, codes(speaker=n)) for name, n in (("Anna", 0), ("Ben", 0), ("Eve", 1)))
    voices = numbered([anna, ben, eve])
    assert [voice.speaker for voice in voices] == [0, 1, 2]
    assert cast(["Eve", "Tom", "ANNA"], voices) == {"Anna": 0, "Ben": 1, "Eve": 2, "Tom": 1}
    assert cast(["Tom", "Tim", "Jim", "Jo"], voices[:2]) == {"Anna": 0, "Ben": 1, "Tom": 0, "Tim": 1}
    with pytest.raises(MisoError, match="Two voices are called 'anna'"):
        numbered([anna, Voice.of("anna", codes())])


def test_a_script_is_cast():
    voices = [Voice.of("heart", codes(speaker=0)), Voice.of("Ben", codes(speaker=1))]
    turns, speaking = cast_script("Ben: Hi.\nAnna: Hi.\nTom: Hi.", voices)
    assert [(t.name, t.speaker) for t in turns] == [("Ben", 1), ("Anna", 0), ("Tom", 2)]
    assert [voice.name for voice in speaking] == ["heart", "Ben"]
    turns, speaking = cast_script("Anna: And then?\nheart: So.", voices, {"anna": 5})
    assert [t.speaker for t in turns] == [5, 0] and [voice.name for voice in speaking] == ["heart"]


def test_names_close_to_known_ones_are_asked_about():
    heart, known = Voice.of("Heart", codes(speaker=0)), ["Heart", "michael", "Anna"]
    names = {"heart": 0, "Micheal": 2, "ANNA": 3, "Nora": 4, "Haert": 5}
    assert doubtful_names(names, [heart], known) == [
        "Micheal is not a voice; did you mean michael?",
        "Haert is not a voice; did you mean Heart?",
    ]
    assert doubtful_names({"Haert": 0}, [heart], known) == []  # it has been given that voice


def test_names_of_the_checkpoints_voices_need_no_voice():
    taught = {"heart": 0, "michael": 1, "emma": 21}
    script = "Emma: Hi.\nAnna: Hi.\nMICHAEL: Hi.\nemma: hi."
    turns, _ = cast_script(script, taught=taught)
    assert [t.speaker for t in turns] == [21, 0, 1, 21]  # Anna has the lowest number that is left
    turns, speaking = cast_script("Emma: Hi.\nTom: Hi.", [Voice.of("Anna", codes(speaker=5))], taught=taught)
    assert [t.speaker for t in turns] == [21, 5] and [voice.name for voice in speaking] == ["Anna"]
    turns, _ = cast_script("Emma: Hi.", [Voice.of("Emma", codes(speaker=5))], taught=taught)
    assert [t.speaker for t in turns] == [5]  # a voice that is connected comes first
    anna = Voice.of("Anna", codes(speaker=0))  # gives way to Heart, who was taught to speak as 0
    turns, speaking = cast_script("Heart: Hi.\nAnna: Hi.", [anna], taught=taught)
    assert [turn.speaker for turn in turns] == [0, 1] and [voice.speaker for voice in speaking] == [1]
    turns, speaking = cast_script("Heart: Hi.", [anna], taught=taught)
    assert turns[0].speaker == 0 and not speaking
    turns, _ = cast_script("Anna: Hi.\nHeart: Hi.", (), {"Anna": 0}, taught)
    assert turns[0].speaker == 0 != turns[1].speaker
    turns, _ = cast_script("af_heart: Hi.", (), None, {"af_heart": 3, "heart": 3})
    assert (turns[0].speaker, turns[0].text) == (3, "Hi.")
    turns, _ = cast_script("Emma: Hi.", (), {"Emma": 7}, taught)
    assert [t.speaker for t in turns] == [7]  # and what an earlier conversation had


def test_a_conversation_is_kept_exactly(tmp_path):
    segments = (
        Segment("A voice.", 1, codes("A voice.", 1, 4, codebooks=4), voice=True),
        Segment("Hello there.", 0, codes()),
    )
    path = tmp_path / "talk.safetensors"
    Conversation(segments, {"Anna": 0, "Ben": 1}).save(path, {"prompt": "{}"})
    loaded = Conversation.load(path)
    assert loaded.names == {"Anna": 0, "Ben": 1} and loaded.seconds == 0.8
    for mine, theirs in zip(segments, loaded.segments, strict=True):
        assert (mine.text, mine.speaker, mine.voice) == (theirs.text, theirs.speaker, theirs.voice)
        assert mine.codes.digest() == theirs.codes.digest()
    Conversation().save(path)
    assert Conversation.load(path).segments == ()


SEGMENT = {
    "text": "Hi.",
    "speaker": 0,
    "voice": False,
    "codec": "nano",
    "frame_rate": 12.5,
    "codebook_size": 64,
    "take": {"seed": 1, "stop": "eos", "spans": []},
    "source": {},
}


@pytest.mark.parametrize(
    "change",
    [
        {"text": 5},
        {"speaker": -1},
        {"speaker": True},
        {"voice": 1},
        {"codec": ""},
        {"codebook_size": 3},
        {"take": {"seed": 1, "stop": "never", "spans": []}},
        {"take": None},
        {"source": "x"},
        {"names": {"Anna": "0"}},
        {"names": []},
        {"segments": 2},
        {"shape": (2, 3, 4)},
        {"dtype": torch.float32},
    ],
    ids=str,
)
def test_a_damaged_conversation_is_refused(tmp_path, change):
    own = {key: value for key, value in change.items() if key in SEGMENT}
    about = {"segments": [SEGMENT | own] * change.get("segments", 1), "names": change.get("names", {})}
    tensor = torch.full(change.get("shape", (8, 5)), 7, dtype=change.get("dtype", torch.int16))
    path = tmp_path / "talk.safetensors"
    save_file({"0": tensor}, path, {"format": FORMAT, "about": json.dumps(about)})
    with pytest.raises(MisoError, match="talk.safetensors is damaged"):
        Conversation.load(path)
    codes().save(path)
    with pytest.raises(MisoError, match="is no conversation"):
        Conversation.load(path)


def test_subtitles():
    spans = (Span(0, 25, "Hello\nthere."), Span(25, 30), Span(30, 55_000, "It is late.", 1))
    made = Codes(
        torch.zeros(1, 8, 55_000, dtype=torch.int64),
        torch.tensor([55_000]),
        "nano",
        takes=(Take(spans=spans),),
    )
    assert subtitles(made, {1: "Anna"}) == (
        "1\n00:00:00,000 --> 00:00:02,000\nHello there.\n\n"
        "2\n00:00:02,400 --> 01:13:20,000\nAnna: It is late.\n"
    )
