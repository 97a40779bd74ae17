"""What a console sees: help, exit statuses, and output in any encoding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "speech": ["say", "spoken", "encode", "decode", "redecode", "align", "replace", "transcribe", "batch"],
    "files": ["fetch", "info", "convert", "export"],
    "store": ["cache"],
    "training and measurement": ["train", "evaluate", "bench", "parity"],
    "environment": ["demo", "test"],
}
# runs each command line of the arguments in a Python without torch
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from miso.cli import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit as e:
        assert not e.code, line
"""


def miso(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``python -m miso`` in a process of its own."""
    command = [sys.executable, "-m", "miso", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, env={**os.environ, **environment})


def test_help_needs_no_torch():
    lines = [f"{command} --help" for group in COMMANDS.values() for command in group if group[0] != "demo"]
    lines += [f"train {step} --help" for step in ("prepare", "codec", "nano", "finetune")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *lines], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for line in lines:
        assert f"usage: python -m miso {line.removesuffix(' --help')} [-h]" in done.stdout


def test_help_lists_commands_by_group(capsys, run):
    with pytest.raises(SystemExit):
        run("--help")
    sections = dict(
        section.split(":\n", 1) for section in capsys.readouterr().out.split("\n\n") if ":\n" in section
    )
    for title, commands in COMMANDS.items():
        assert [line.split()[0] for line in sections[title].splitlines()] == commands
    assert [line.split()[0] for line in sections["exit status"].splitlines()] == ["0", "1", "2", "130"]


def test_errors_are_one_line_and_status_1(tmp_path):
    done = miso("info", tmp_path / "gone.safetensors")
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.startswith(b"miso: ") and done.stderr.count(b"\n") == 1


def test_wrong_usage_is_status_2():
    done = miso("say")
    assert done.returncode == 2 and b"one of the arguments text --script is required" in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", pytest.param("ascii", marks=pytest.mark.slow)])
def test_consoles_that_lack_characters(tiny, tmp_path, encoding):
    path = tmp_path / "你好.safetensors"
    path.write_bytes((tiny / "tiny.safetensors").read_bytes())
    written = tmp_path / "谢谢.safetensors"
    done = miso("convert", path, written, PYTHONUTF8="0", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stdout.endswith(f"??.safetensors{os.linesep}".encode())
    assert written.is_file()


def test_names_of_bundled_files(capsys, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("nano.safetensors", "nano-codec.safetensors", "nano-vocoder.safetensors"):
        run("info", name)
    assert "checkpoint" in (output := capsys.readouterr().out) and "vocoder" in output
    (tmp_path / "nano.safetensors").write_text("a file in the current folder comes first")
    with pytest.raises(ValueError, match="not a safetensors file"):
        run("info", "nano.safetensors")
