"""The virtual environment: made once, filled by pip, and skipped in a moment when nothing has changed.

Every completed step leaves a stamp inside the environment. A step is done again if it was interrupted, or if
its requirement files have changed since.
"""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from ...errors import MisoError
from . import HOME, ROOT

HOST = Path(__file__).with_name("host.txt")
CPU_TORCH = Path(__file__).with_name("cpu_torch.py")
OLDEST, NEWEST = (3, 10), (3, 13)


class Environment:
    """``.miso/venv``, or one for another ComfyUI, made on first use with the Python that is running."""

    def __init__(self, comfyui: Path | None = None) -> None:
        # of its own: two ComfyUIs want different frontends, and a common one would change each time
        self.folder = HOME / (f"venv-{comfyui.name}" if comfyui else "venv")
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.log = HOME / "install.log"

    def ensure(self, host: Path = HOST) -> None:
        """A Python that runs ComfyUI, by its requirement file ``host``, and this pack."""
        self._create()
        # another ComfyUI names no version of PyTorch, and the newest may be a download of several GB
        torch = [line for line in HOST.read_text(encoding="utf-8").splitlines() if line.startswith("torch")]
        pinned = [] if host == HOST else [line for line in torch if "==" in line]
        # ComfyUI imports requests, but some versions don't list it and nothing else brings it any more.
        # hibari-tts gives better phonemes, but requires onnxruntime, which may replace a user's for the GPU.
        self.install(
            "host",
            "what ComfyUI and the pack need (at first minutes, and 2 GB or more)",
            "-r",
            host,
            "-r",
            ROOT / "requirements.txt",
            "requests",
            "hibari-tts>=0.2.1",
            *pinned,
            afterwards=CPU_TORCH,
        )

    def install(self, name: str, what: str, *wanted: str | Path, afterwards: Path | None = None) -> None:
        """``pip install wanted``, then run a script of ours, unless the stamp ``name`` records that."""
        stamp = self.folder / f"{name}.stamp"
        recipe = [
            part.read_bytes() if isinstance(part, Path) else part.encode()
            for part in (*wanted, afterwards or "")
        ]
        digest = hashlib.sha256(b"\0".join(recipe)).hexdigest()
        if stamp.is_file() and stamp.read_text() == digest:
            return
        stamp.unlink(missing_ok=True)
        # most modules of what is installed are never imported; Python compiles the others when they are
        self.run(f"Installing {what}", "-m", "pip", "install", "--no-compile", *wanted)
        if afterwards:
            self.run("Trying it", "-I", afterwards)
        stamp.write_text(digest)

    def run(self, what: str, *command: str | Path) -> None:
        """One command of this environment's Python; all it says goes to the log, one line to the terminal."""
        print(f"{what} ...", end=" ", flush=True)
        began = time.monotonic()
        variables = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        with self.log.open("ab") as log:
            log.write(f"\n# {what}\n".encode())
            log.flush()
            done = subprocess.run(
                [self.python, *command], stdout=log, stderr=subprocess.STDOUT, env=variables
            )
        if done.returncode:
            print("failed")
            raise MisoError(
                f"{what} failed.",
                "If the network or the disk was the cause, run the same command again: what is "
                f"done is kept. The end of {self.log}:\n{tail(self.log)}",
            )
        print(f"{time.monotonic() - began:.0f} s", flush=True)

    def output(self, code: str) -> str:
        """What a line of Python prints in this environment."""
        return subprocess.run(
            [self.python, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()

    def _create(self) -> None:
        made = self.folder / "made.stamp"
        if self.python.exists() and made.is_file():
            return
        if not OLDEST <= sys.version_info[:2] <= NEWEST:
            oldest, newest = (".".join(map(str, version)) for version in (OLDEST, NEWEST))
            raise MisoError(
                f"This is Python {sys.version.split()[0]}; PyTorch and ComfyUI want {oldest} to {newest}.",
                f"Run the command again with one of those, for example: python{newest} -m miso demo",
            )
        print(f"Making {self.folder} with Python {sys.version.split()[0]}", flush=True)
        HOME.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", self.folder], capture_output=True, text=True
        )
        if done.returncode:
            raise MisoError(
                f"The environment could not be made:\n{done.stdout}{done.stderr}",
                "On Debian and Ubuntu: apt-get install python3-venv. Then run the command again.",
            )
        made.touch()


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, indented, for an error message."""
    return "\n".join(
        "    " + line for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    )
