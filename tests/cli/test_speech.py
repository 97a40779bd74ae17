"""say, encode, decode and redecode on the tiny checkpoint."""

import io

import av
import pytest
import torch

from miso.audio.files import read_audio, write_audio
from miso.codes import editing
from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.vocoders.lfm2 import Detokenizer, DetokenizerConfig, save_detokenizer


def test_same_command_same_bytes(tmp_path, say):
    say("Hello there.", "a.flac", "--seed", 5)
    say("Hello there.", "b.flac", "--seed", 5)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    assert (tmp_path / "a.flac").read_bytes() != say("Hello there.", "c.flac", "--seed", 6).read_bytes()


def test_a_voice_of_nano_by_name(tmp_path, run):
    codes = tmp_path / "codes.safetensors"
    short = ["say", "Hi.", "--codes", codes, "--max-seconds", 0.2]
    run(*short, "--speaker", "bf_emma")
    assert Codes.load(codes).takes[0].spans[0].speaker == 21
    with pytest.raises(MisoError, match="^--speaker: The checkpoint has no voice 'emmma'.*bf_emma"):
        run(*short, "--speaker", "emmma")


@pytest.mark.parametrize(
    "suffix, codec",
    [
        (".flac", "flac"),
        pytest.param(".wav", "pcm_s16le", marks=pytest.mark.slow),
        pytest.param(".mp3", "mp3", marks=pytest.mark.slow),
        (".opus", "opus"),
    ],
)
def test_sound_files_are_mono(say, suffix, codec):
    path = say("Hi.", f"out{suffix}")
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        assert (stream.codec_context.name.removesuffix("float"), stream.channels) == (codec, 1)
    wave, rate = read_audio(path)
    assert rate in (24000, 48000) and abs(len(wave) / rate - 13 * 0.08) < 0.08 and wave.abs().max() > 0.05


def test_lossless_files_are_exact(tmp_path):
    wave = torch.rand(30_001, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for suffix in (".flac", ".wav"):
        write_audio(tmp_path / f"x{suffix}", wave, 24000)
        read, rate = read_audio(tmp_path / f"x{suffix}")
        assert rate == 24000 and len(read) == len(wave) and (read - wave).abs().max() <= 1.01 / 32768


def test_decode_and_redecode_repeat_what_say_did(tiny, tmp_path, say, run):
    codes, hidden, redecoded = (tmp_path / f"{name}.safetensors" for name in ("codes", "hidden", "redecoded"))
    path = say("One and two.", "all.flac", "--codes", codes, "--hidden", hidden, "--takes", 2)
    assert not path.exists() and (tmp_path / "all-1.flac").exists()
    run("decode", codes, "-o", tmp_path / "again.flac", "--vocoder", tiny / "tiny-codec.safetensors")
    assert (tmp_path / "again-2.flac").read_bytes() == (tmp_path / "all-2.flac").read_bytes()
    redecode = ["redecode", hidden, codes, "-o", redecoded, "--checkpoint", tiny / "tiny.safetensors"]
    run(*redecode)
    assert Codes.load(redecoded).tensor.equal(Codes.load(codes).tensor)
    run(*redecode, "--seed", 50)
    assert not Codes.load(redecoded).tensor.equal(Codes.load(codes).tensor)


def test_decode_says_a_vocoders_licence(tmp_path, run, capsys):
    vocoder, codes = tmp_path / "lfm2" / "model.safetensors", tmp_path / "codes.safetensors"
    save_detokenizer(vocoder, Detokenizer(DetokenizerConfig(8, 8, ("conv",))))
    Codes(torch.zeros(1, 8, 5, dtype=torch.int64), [5], "mimi-e351c8d8").save(codes)
    run("decode", codes, "-o", tmp_path / "a.flac", "--vocoder", vocoder)
    assert "LFM Open License" in capsys.readouterr().err
    assert read_audio(tmp_path / "a.flac")[0].shape[-1] == 5 * 1920


def test_an_odd_recording_is_encoded_and_said(tiny, tmp_path, run, capsys):
    tone = torch.sin(torch.arange(16000) / 3) * 0.5
    write_audio(tmp_path / "tone.wav", tone, 8000)
    codec = tiny / "tiny-codec.safetensors"
    run("encode", tmp_path / "tone.wav", "-o", tmp_path / "x.safetensors", "--vocoder", codec)
    said = capsys.readouterr().err
    assert "8 kHz" in said and "tone.wav: This doesn't sound like speech." in said


def test_edited_voices_need_their_text(tmp_path, say):
    sampled, cut = tmp_path / "sampled.safetensors", tmp_path / "cut.safetensors"
    say("A voice to keep.", "voice.wav", "--codes", sampled)
    editing.delete(Codes.load(sampled), 1, 2).save(cut)
    with pytest.raises(MisoError, match="no longer exact.*--voice-text"):
        say("And then.", "x.flac", "--voice", cut)
    assert say("And then.", "x.flac", "--voice", cut, "--voice-text", "A to keep.").exists()


def test_voices_and_prefixes(tiny, tmp_path, say, run):
    sampled, encoded = tmp_path / "sampled.safetensors", tmp_path / "encoded.safetensors"
    sound = say("A voice to keep.", "voice.wav", "--codes", sampled)
    codec = tiny / "tiny-codec.safetensors"
    run("encode", sound, "-o", encoded, "--vocoder", codec, "--text", "A voice to keep.")
    codes = Codes.load(encoded)
    assert codes.frames == 13 and codes.takes[0].spans[0].text == "A voice to keep."
    prompts = [
        (),
        ("--voice", sampled),
        ("--voice", encoded),
        ("--voice", sound, "--voice-text", "A voice to keep."),
        ("--prefix", sampled),
    ]
    results = {say("And then.", f"{i}.flac", *options).read_bytes() for i, options in enumerate(prompts)}
    assert len(results) == 4  # the sound file and its codes are the same voice
    with pytest.raises(MisoError, match="--voice-text"):
        say("And then.", "x.flac", "--voice", sound)


def test_standard_input(say, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Spoken from a pipe."))
    piped = say("-", "piped.flac", "--seed", 3)
    assert piped.read_bytes() == say("Spoken from a pipe.", "given.flac", "--seed", 3).read_bytes()


def test_what_is_said_for_a_text(tmp_path, run, capsys):
    own = tmp_path / "own.txt"
    own.write_text("Siobhan = shivawn\n", encoding="utf-8")
    run("spoken", "Siobhan paid $5 🙂", "--pronunciations", own)
    printed = capsys.readouterr()
    assert printed.out == "shivawn paid five dollars\n" and printed.err == "Left out: 🙂 (emoji)\n"
    run("spoken", "5 cats.", "--phonemes", "--models", tmp_path)
    assert capsys.readouterr().out == "fˈIv kˈæts.\n"
    (tmp_path / "lines.tsv").write_text("5kg\tx\n\n½ 🙂\ty\n", encoding="utf-8")
    run("spoken", "--file", tmp_path / "lines.tsv", "--models", tmp_path)
    assert capsys.readouterr().out == "5kg\tfive kilograms\t\n½ 🙂\tone half\t🙂 (emoji)\n"
    with pytest.raises(MisoError, match="Give a text, or a file"):
        run("spoken")


@pytest.mark.parametrize(
    "arguments",
    [
        ("spoken", "--file", "gone.txt"),
        ("spoken", "Hi.", "--pronunciations", "gone.txt"),
        ("say", "--script", "gone.txt", "-o", "x.wav"),
        ("batch", "gone.txt", "--out", "out"),
        ("train", "coder", "speech", "--out", "out", "--config", "gone.txt"),
    ],
)
def test_a_missing_file_is_named_in_words(run, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("miso.cli.commands.training.Speech", lambda _: None)
    with pytest.raises(MisoError, match="^gone.txt can't be read: No such file or directory. Check the path"):
        run(*arguments)


def test_pronunciations_and_what_is_left_out(tiny, tmp_path, say, capsys):
    own = tmp_path / "own.txt"
    own.write_text("there = dare\n", encoding="utf-8")
    heard = say("Hello there.\x07", "own.flac", "--pronunciations", own).read_bytes()
    assert "Left out: control characters" in capsys.readouterr().err
    assert (
        heard
        == say("Hello dare.", "dare.flac").read_bytes()
        != say("Hello there.", "there.flac").read_bytes()
    )
    (tmp_path / "miso").mkdir()
    own.rename(tmp_path / "miso" / "pronunciations.txt")
    assert heard == say("Hello there.", "models.flac", "--models", tmp_path).read_bytes()


def test_encode_uses_the_embedded_codec(tmp_path, run):
    write_audio(tmp_path / "x.wav", torch.sin(torch.arange(12_000) / 20) / 2, 24_000)
    run("encode", tmp_path / "x.wav", "-o", tmp_path / "default.safetensors")
    run(
        "encode",
        tmp_path / "x.wav",
        "-o",
        tmp_path / "named.safetensors",
        "--vocoder",
        "nano-codec.safetensors",
    )
    default, named = (Codes.load(tmp_path / f"{name}.safetensors") for name in ("default", "named"))
    assert default.frames == 7 and default.tensor.equal(named.tensor)


@pytest.mark.parametrize("damage", ["truncated", "metadata", "shape"])
def test_decode_ignores_damaged_codes_beside(tiny, tmp_path, say, run, damage):
    path = tmp_path / "x.safetensors"
    sound = say("Hi.", "a.flac", "--codes", path)
    data = path.read_bytes()
    damaged = {
        "truncated": data[:-20],
        "metadata": b'\x18\0\0\0\0\0\0\0{"__metadata__": null}   ',
        "shape": data.replace(b'"shape":[1', b'"shape":[x', 1).replace(b"[x", b'[""', 1),
    }
    (tmp_path / "damaged.safetensors").write_bytes(damaged[damage])
    (tmp_path / "tiny-codec.safetensors").write_bytes((tiny / "tiny-codec.safetensors").read_bytes())
    run("decode", path, "-o", tmp_path / "b.flac")  # looks for the codec among the files beside the codes
    assert (tmp_path / "b.flac").read_bytes() == sound.read_bytes()
