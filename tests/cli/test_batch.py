"""batch on the tiny checkpoint: files, what is finished, what failed, and workers of Ray."""

import json
import os
import signal

import psutil
import pytest

from miso.cli.commands import batch as command
from miso.cli.commands.workers import Job, Setup, say_on_ray
from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.model.sampling import Sampling
from miso.text.conditioning import Segment

TABLE = "text,speaker,name\nThis is one.,0,one\nThis is two.,1,\nThis is three.,0,\n"


@pytest.fixture
def speak(tiny, tmp_path, run):
    """``speak(table, *options)``: the exit status, and the lines of the manifest by row."""

    def speak(table: str, *options, out: str = "out") -> tuple[int, dict[int, dict]]:
        path = tmp_path / "lines.csv"
        path.write_text(table, encoding="utf-8")
        files = ["--checkpoint", tiny / "tiny.safetensors", "--vocoder", tiny / "tiny-codec.safetensors"]
        status = run("batch", path, "--out", tmp_path / out, *files, "--max-seconds", 0.4, *options)
        lines = json.loads((tmp_path / out / "manifest.json").read_text())["lines"]
        return status, {line["row"]: line for line in lines}

    return speak


@pytest.fixture
def sampled(monkeypatch):
    """The texts that were sampled, not only decoded, in the order in which that began."""
    texts: list[str] = []
    begin = command.Worker.say

    def say(self, jobs, progress=None):
        texts.extend(job.segments[-1].text for job in jobs if job.codes is None)
        return begin(self, jobs, progress)

    monkeypatch.setattr(command.Worker, "say", say)
    return texts


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".flac"}


def test_a_file_for_each_line_whatever_the_slots(tmp_path, speak, capsys):
    status, lines = speak(TABLE, "--codes")
    assert status == 0 and [line["status"] for line in lines.values()] == ["done"] * 3
    said = capsys.readouterr()
    assert "3 lines: 3 said now, 0 finished before, 0 failed" in said.err
    assert "row 3: cut at the time limit" in said.err and len(said.out.splitlines()) == 3
    assert files(tmp_path / "out").keys() == {"one.flac", "0002-this-is-two.flac", "0003-this-is-three.flac"}
    codes = Codes.load(tmp_path / "out" / "0002-this-is-two.safetensors")
    assert codes.takes[0].text == "This is two." and codes.takes[0].spans[0].speaker == 1
    assert codes.takes[0].seed == lines[3]["seed"] and lines[3]["seconds"] == 0.4
    assert speak(TABLE, "--slots", 1, out="other")[0] == 0
    assert files(tmp_path / "other") == files(tmp_path / "out")


def test_what_is_finished_is_told_by_content(tmp_path, speak, sampled, capsys):
    assert speak(TABLE)[0] == 0 and len(sampled) == 3
    first, out = files(tmp_path / "out"), tmp_path / "out"
    sampled.clear()
    assert speak(TABLE)[0] == 0 and sampled == []
    assert "0 said now, 3 finished before" in capsys.readouterr().err
    # another line in the same place, a file that was changed, one that is gone: only the first is new
    (out / "0002-this-is-two.flac").write_bytes(b"damaged")
    (out / "0003-this-is-three.flac").unlink()
    assert speak(TABLE.replace("This is one.", "This is new."))[0] == 0 and sampled == ["This is new."]
    changed = files(out)
    assert changed.pop("one.flac") != first.pop("one.flac") and changed == first
    # rows that moved keep their seeds and codes
    sampled.clear()
    header, *rows = TABLE.splitlines()
    assert speak("\n".join([header, "A beginning.,0,", *rows]))[0] == 0
    assert sampled == ["A beginning."]


def test_a_row_whose_name_is_doubled_stays_finished(speak, sampled, capsys):
    table = "text,name\nThis is one.,one\nThis is two.,one\n"
    for now in (1, 0):
        sampled.clear()
        assert speak(table)[0] == 1 and len(sampled) == now
        assert f"{now} said now, {1 - now} finished before, 1 failed" in capsys.readouterr().err


def test_bad_lines_are_reported_and_the_rest_is_said(speak, capsys):
    table = TABLE + "\U0001f600,,\nHello.,many,\n" + "much too long " * 900 + ",,\n"
    status, lines = speak(table)
    assert status == 1 and [line["status"] for line in lines.values()] == ["done"] * 3 + ["failed"] * 3
    said = capsys.readouterr().err
    assert "row 5: There is nothing to be said" in said and "row 6: speaker is 'many'" in said
    assert "Text too long" in lines[7]["problem"] and "3 failed" in said


def test_what_a_row_lacks_names_the_option(speak, capsys):
    assert speak(TABLE, "--max-seconds", 400)[0] == 1
    assert "row 2: Lower --max-seconds to " in capsys.readouterr().err


def test_a_stopped_run_goes_on(tmp_path, speak, sampled, monkeypatch):
    write = command.write_audio

    def stop(*arguments):
        if files(tmp_path / "out"):
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(command, "write_audio", stop)
    with pytest.raises(KeyboardInterrupt):
        speak(TABLE, "--slots", 1)
    lines = json.loads((tmp_path / "out" / "manifest.json").read_text())["lines"]
    assert sorted(line["status"] for line in lines) == ["done", "waiting", "waiting"]
    monkeypatch.setattr(command, "write_audio", write)
    sampled.clear()
    assert speak(TABLE, "--slots", 1)[0] == 0 and len(sampled) == 1  # the second was said, not yet written


def test_voices_by_name_and_file(tmp_path, speak):
    speak(TABLE, "--codes")
    (tmp_path / "out" / "0002-this-is-two.safetensors").rename(tmp_path / "eve.safetensors")
    table = (
        "text,voice,speaker\nHello.,,\nHello.,eve.safetensors,\nHello.,eve.safetensors,4\nHello.,nobody,\n"
    )
    status, lines = speak(table, out="voices")
    assert status == 1 and [line["speaker"] for line in lines.values()] == [0, 1, 4, 0]
    assert len({line["key"] for line in list(lines.values())[:3]}) == 3
    assert "There is no voice 'nobody'" in lines[5]["problem"] and ", heart, " in lines[5]["problem"]
    # an embedded voice, whose codes are not this model's
    _, lines = speak("text,voice\nHello.,heart\n", out="other")
    assert "the model speaks 'tiny'" in lines[2]["problem"]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--slots", 0], "1 or more"),
        (["--workers", 0], "1 or more"),
        (["--format", "ogg"], "no suffix of a sound file"),
    ],
)
def test_wrong_usage(speak, options, words):
    with pytest.raises(MisoError, match=words):
        speak(TABLE, *options)


@pytest.mark.slow  # Ray and its workers take half a minute to start
def test_a_worker_that_dies_has_its_lines_said_by_another(tiny, capsys):
    """Two workers of a real Ray, one killed after the first line."""
    pytest.importorskip("ray")
    setup = Setup(
        checkpoint=str(tiny / "tiny.safetensors"),
        vocoder=str(tiny / "tiny-codec.safetensors"),
        backend="auto",
        device="cpu",
        precision="fp32",
        tokenizer="",
        sampling=Sampling(),
        codebooks=None,
        slots=1,
        path="auto",
    )
    jobs = [Job(i, (Segment(f"This is line {i}."),), i, 25, 40) for i in range(40)]
    said: list[int] = []
    for result in say_on_ray(setup, jobs, workers=2):
        if not said:
            os.kill(a_worker(), signal.SIGKILL)
        said.append(result.number)
        assert result.codes.takes[0].seed == result.number and len(result.waveform) == 25 * 1920
    assert sorted(said) == list(range(40))
    assert "a worker died" in capsys.readouterr().err


def a_worker() -> int:
    """The process of one. Ray names its processes after what they do."""
    processes = psutil.process_iter(["cmdline"])
    return next(p.pid for p in processes if (p.info["cmdline"] or [""])[0].startswith("ray::Worker"))
