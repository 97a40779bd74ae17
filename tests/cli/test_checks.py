"""What commands refuse before they load anything."""

import pytest
import torch

from miso.audio.files import write_audio
from miso.errors import MisoError


@pytest.fixture
def nothing_loads(monkeypatch):
    """A network that is loaded fails the test."""
    for part in ("load_backbone", "load_depth"):
        monkeypatch.setattr(
            f"miso.checkpoints.checkpoint.Checkpoint.{part}", lambda *_, **__: pytest.fail("loaded a network")
        )


@pytest.fixture
def nothing_opens(monkeypatch):
    """So does a file of codes, a checkpoint, a vocoder or a recogniser that is opened."""
    for name in ("speech.Codes.load", "loading.Miso", "speech.load_vocoder", "loading.load_vocoder"):
        monkeypatch.setattr(f"miso.cli.commands.{name}", lambda *_, **__: pytest.fail("opened a file"))
    monkeypatch.setattr("miso.cli.commands.speech.find_recogniser", None)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--temperature", "-1"], "--temperature is -1"),
        (["--takes", "0"], "--takes is 0"),
        (["--max-seconds", "0"], "--max-seconds is 0"),
        (["--codebooks", "9"], "codebooks is 9"),
        (["--speaker", "-2"], "speaker is -2"),
        (["--device", "tpu"], "--device: The device 'tpu'"),
        (["--precision", "int3"], "precision 'int3'"),
        (["--backend", "wavenet"], "backend 'wavenet'"),
        (["--path", "quick"], "no path 'quick'"),
        (["--prefix", "gone.safetensors"], "gone.safetensors can't be read"),
        (["--max-seconds", "400"], "Lower --max-seconds to "),
        (["--checkpoint", "gone"], "--checkpoint: There is no checkpoint at gone"),
        (["--checkpoint", "miso-8b"], "fetch miso-8b"),
        (["--voice", "gone.wav", "--voice-text", "x"], "gone.wav"),
    ],
)
def test_bad_options_are_explained_and_leave_no_files(say, tmp_path, options, words, nothing_loads):
    with pytest.raises(MisoError, match=words):
        say("Hello.", "out.flac", *options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, name, words",
    [
        ("", "o.flac", "empty"),
        ("word " * 600, "o.flac", "Split it"),
        ("Hi.", "o.xyz", "no suffix of a sound file"),
    ],
)
def test_bad_text_and_output(say, tmp_path, text, name, words, nothing_loads):
    with pytest.raises(MisoError, match=words):
        say(text, name)
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_is_refused_before_sampling(say, run, tmp_path, nothing_opens):
    with pytest.raises(MisoError, match="x.ogg.*no suffix of a sound file"):
        say("Hi.", "x.ogg", "--codes", tmp_path / "codes.safetensors")
    with pytest.raises(MisoError, match="x.ogg.*no suffix of a sound file"):
        run("decode", tmp_path / "codes.safetensors", "-o", tmp_path / "x.ogg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        "say Hi. -o PLACE.flac",
        "say Hi. --codes PLACE.safetensors",
        "say Hi. --hidden PLACE.safetensors",
        "say Hi. --long -o x.flac --subtitles PLACE.srt",
        "encode x.wav -o PLACE.safetensors",
        "decode x.safetensors -o PLACE.flac",
        "redecode x.safetensors x.safetensors -o PLACE.safetensors",
        "align x.safetensors -o PLACE.srt",
        "replace x.safetensors -o PLACE.safetensors --text Hi.",
        "batch lines.csv --out PLACE",
        "convert nano.safetensors PLACE.safetensors",
        "export nano-codec.safetensors PLACE.onnx",
        "evaluate --json PLACE.json",
        "bench --picture PLACE.svg",
    ],
)
def test_an_unwritable_place_is_found_before_anything_is_opened(
    tmp_path, run, line, monkeypatch, nothing_opens
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "lines.csv").write_text("text\nHi.\n")
    with pytest.raises(
        MisoError, match="file.* can't be written: .*file is not a folder. Choose another place"
    ):
        run(*line.replace("PLACE", "file/out").split())
    assert (tmp_path / "file").read_text() == "kept"


def test_what_is_wrong_with_other_commands_is_found_before_anything_is_opened(tmp_path, run, nothing_opens):
    for line, words in (
        (f"encode {tmp_path}/gone.wav -o {tmp_path}/x.safetensors", "gone.wav can't be read"),
        (f"transcribe {tmp_path}/gone.wav", "gone.wav can't be read"),
        (f"replace x.safetensors -o {tmp_path}/y.safetensors --text Hi. --rank 9", "There is no take 9"),
        ("convert nano.safetensors own.wav", "A checkpoint can't be written to own.wav"),
    ):
        with pytest.raises(MisoError, match=words):
            run(*line.split())


@pytest.mark.parametrize(
    "command, what",
    [
        ("encode", "Codes"),
        ("replace", "Codes"),
        ("redecode", "Codes"),
        ("say --codes", "Codes"),
        ("say --hidden", "Hidden states"),
        ("say --conversation", "A conversation"),
    ],
)
def test_what_is_no_sound_is_not_written_over_one(tmp_path, run, command, what):
    sound = tmp_path / "own.wav"
    write_audio(sound, torch.zeros(24000), 24000)
    before = sound.read_bytes()
    options = {
        "encode": [sound, "-o", sound],
        "replace": [tmp_path / "codes.safetensors", "-o", sound, "--text", "Hello."],
        "redecode": ["hidden.safetensors", tmp_path / "codes.safetensors", "-o", sound],
    }
    rest = options.get(command, [sound, "--long", "Hello.", "-o", "x.flac"])
    with pytest.raises(MisoError, match=f"{what} can't be written to own.wav"):
        run(*command.split(), *rest)
    assert sound.read_bytes() == before
