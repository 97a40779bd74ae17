"""``python -m miso`` as a person uses it, on the tiny checkpoint."""

import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from make_tiny import make_tiny

from miso.audio.files import read_audio, write_audio
from miso.cli import main
from miso.codes.codes import Codes
from miso.errors import MisoError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder)
    return folder


@pytest.fixture
def say(tiny, tmp_path):
    """Run ``say`` in its own process; gives the path of its output."""

    def say(text, name, *more) -> Path:
        main(
            [
                "say",
                text,
                "--checkpoint",
                str(tiny / "tiny.safetensors"),
                "--max-seconds",
                "1",
                "-o",
                str(tmp_path / name),
                *map(str, more),
            ]
        )
        return tmp_path / name

    return say


def test_same_command_same_bytes(tiny, tmp_path, say):
    command = [
        sys.executable,
        "-m",
        "miso",
        "say",
        "Hello there.",
        "--checkpoint",
        str(tiny / "tiny.safetensors"),
        "--max-seconds",
        "1",
        "--seed",
        "5",
    ]
    for name in ("a.flac", "b.flac"):
        done = subprocess.run(
            [*command, "-o", str(tmp_path / name)], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(tmp_path / name)
        assert "sampling" not in done.stderr  # no progress bar where nobody looks
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    assert (tmp_path / "a.flac").read_bytes() != say("Hello there.", "c.flac", "--seed", "6").read_bytes()


@pytest.mark.parametrize(
    "suffix, codec", [(".flac", "flac"), (".wav", "pcm_s16le"), (".mp3", "mp3"), (".opus", "opus")]
)
def test_sound_files_are_true_mono(say, suffix, codec):
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
        again, rate = read_audio(tmp_path / f"x{suffix}")
        assert rate == 24000 and len(again) == len(wave) and (again - wave).abs().max() <= 1.01 / 32768


def test_the_chain_by_hand_is_the_chain_at_once(tiny, tmp_path, say):
    path = say(
        "One and two.",
        "all.flac",
        "--codes",
        tmp_path / "c.safetensors",
        "--hidden",
        tmp_path / "h.safetensors",
        "--takes",
        "2",
    )
    assert not path.exists() and (tmp_path / "all-0.flac").exists()
    codec = str(tiny / "tiny-codec.safetensors")
    main(["decode", str(tmp_path / "c.safetensors"), "-o", str(tmp_path / "again.flac"), "--vocoder", codec])
    assert (tmp_path / "again-1.flac").read_bytes() == (tmp_path / "all-1.flac").read_bytes()
    main(
        [
            "redecode",
            str(tmp_path / "h.safetensors"),
            str(tmp_path / "c.safetensors"),
            "-o",
            str(tmp_path / "r.safetensors"),
            "--checkpoint",
            str(tiny / "tiny.safetensors"),
        ]
    )
    assert Codes.load(tmp_path / "r.safetensors").tensor.equal(Codes.load(tmp_path / "c.safetensors").tensor)
    main(
        [
            "redecode",
            str(tmp_path / "h.safetensors"),
            str(tmp_path / "c.safetensors"),
            "-o",
            str(tmp_path / "r.safetensors"),
            "--checkpoint",
            str(tiny / "tiny.safetensors"),
            "--seed",
            "50",
        ]
    )
    assert not Codes.load(tmp_path / "r.safetensors").tensor.equal(
        Codes.load(tmp_path / "c.safetensors").tensor
    )


def test_voices_and_prefixes(tiny, tmp_path, say):
    sound = say("A voice to keep.", "voice.wav", "--codes", tmp_path / "v.safetensors")
    codec = str(tiny / "tiny-codec.safetensors")
    main(
        [
            "encode",
            str(sound),
            "-o",
            str(tmp_path / "e.safetensors"),
            "--vocoder",
            codec,
            "--text",
            "A voice to keep.",
        ]
    )
    encoded = Codes.load(tmp_path / "e.safetensors")
    assert encoded.frames == 13 and encoded.takes[0].spans[0].text == "A voice to keep."
    results = {
        say("And then.", f"{n}.flac", *options).read_bytes()
        for n, options in enumerate(
            (
                (),
                ("--voice", tmp_path / "v.safetensors"),
                ("--voice", tmp_path / "e.safetensors"),
                ("--voice", sound, "--voice-text", "A voice to keep."),
                ("--prefix", tmp_path / "v.safetensors"),
            )
        )
    }
    assert len(results) == 4  # the sound file and its codes are one voice
    with pytest.raises(MisoError, match="--voice-text"):
        say("And then.", "x.flac", "--voice", sound)


def test_standard_input(say, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("Spoken from a pipe."))
    assert (
        say("-", "piped.flac", "--seed", 3).read_bytes()
        == say("Spoken from a pipe.", "given.flac", "--seed", 3).read_bytes()
    )


@pytest.mark.parametrize(
    "options, words",
    [
        (["--temperature", "-1"], "temperature is -1"),
        (["--takes", "0"], "takes is 0"),
        (["--max-seconds", "0"], "max_seconds is 0"),
        (["--codebooks", "9"], "codebooks is 9"),
        (["--speaker", "-2"], "speaker is -2"),
        (["--device", "tpu"], "device 'tpu'"),
        (["--precision", "int3"], "precision 'int3'"),
        (["--backend", "wavenet"], "backend 'wavenet'"),
        (["--max-seconds", "400"], "2048 positions"),
        (["--checkpoint", "gone"], "no checkpoint at gone"),
        (["--checkpoint", "miso-8b"], "fetch miso-8b"),
        (["--voice", "gone.wav", "--voice-text", "x"], "gone.wav"),
    ],
)
def test_bad_options_are_explained_and_nothing_is_left(say, tmp_path, options, words):
    with pytest.raises(MisoError, match=words):
        say("Hello.", "out.flac", *options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, name, words",
    [
        ("", "o.flac", "empty"),
        ("word " * 600, "o.flac", "Shorten"),
        ("Hi.", "o.xyz", "no suffix of a sound file"),
    ],
)
def test_bad_text_and_output(say, tmp_path, text, name, words):
    with pytest.raises(MisoError, match=words):
        say(text, name)
    assert not list(tmp_path.iterdir())


def test_unwritable_output(say, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(MisoError, match="can't be written"):
        say("Hi.", "file/out.flac")
    assert (tmp_path / "file").read_text() == "kept"


def test_errors_are_one_line_and_status_1(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "miso", "info", str(tmp_path / "gone.safetensors")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 1
        and done.stderr.startswith("miso: ")
        and "Traceback" not in done.stderr
        and done.stdout == ""
    )


@pytest.mark.parametrize(
    "command", ["say", "encode", "decode", "redecode", "fetch", "info", "parity", "bench"]
)
def test_help_needs_no_torch(command):
    code = f"import sys; sys.argv = ['miso', '{command}', '--help']; sys.modules['torch'] = None\nfrom miso.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and f"miso {command}" in done.stdout, done.stderr


def test_bench(capsys, tmp_path):
    import json
    from xml.etree import ElementTree

    assert (
        main(
            [
                "bench",
                "--size",
                "nano",
                "--device",
                "cpu",
                "--frames",
                "4",
                "--prompt-rows",
                "16",
                "--exact",
                "--json",
                str(tmp_path / "b.json"),
                "--picture",
                str(tmp_path / "b.svg"),
            ]
        )
        == 0
    )
    figures = json.loads((tmp_path / "b.json").read_text())
    (run,) = figures["runs"]
    assert (
        run["frames"] == 4
        and run["path"] == "plain"
        and run["over_floor"] > 1
        and "frame_ms" in capsys.readouterr().out
    )
    assert (
        figures["hidden_error"] < 1e-5
        and set(figures["prefill_ms"]) == {"128", "1500"}
        and figures["first_sound_ms"] > run["frame_ms"]
    )
    assert ElementTree.parse(tmp_path / "b.svg").getroot().tag.endswith("svg")
