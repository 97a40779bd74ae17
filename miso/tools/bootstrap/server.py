"""A running ComfyUI: started, waited for, given prompts, stopped.

Speaks HTTP with the standard library alone.
"""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ...errors import MisoError
from .environment import tail


class Server:
    """``with Server(...) as server``: it answers when the block begins and is gone when it ends."""

    def __init__(
        self, python: Path, comfyui: Path, base: Path, log: Path, *flags: str, port: int | None = None
    ):
        self.base, self.log, self.port = base, log, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # in memory: the default database would be written into ComfyUI's folder, whatever the base directory
        self._command = [
            str(python),
            "main.py",
            "--listen",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--base-directory",
            str(base),
            "--database-url",
            "sqlite:///:memory:",
            "--disable-api-nodes",
            "--disable-auto-launch",
            *flags,
        ]
        self._folder = comfyui

    def __enter__(self) -> "Server":
        # spinning OpenMP threads make small matrices thirty times slower while anything else runs
        variables = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT, env=variables
            )
        try:
            self._wait_until_up(seconds=180)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait(self) -> None:
        """Until the server ends by itself."""
        self._process.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return json.load(reply)

    def queue(self, prompt: dict, seconds: float = 600) -> dict:
        """Run a prompt (API format) and return its outputs: ``{node id: what its ui holds}``."""
        body = json.dumps({"prompt": prompt}).encode()
        request = urllib.request.Request(self.url + "/prompt", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                prompt_id = json.load(reply)["prompt_id"]
        except urllib.error.HTTPError as e:
            raise MisoError(
                f"ComfyUI refused the graph: {_refusal(e.read())}", "Correct the named inputs."
            ) from e
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                if entry["status"]["status_str"] != "success":
                    raise MisoError(
                        f"The graph stopped. {_failure(entry['status']['messages'])}", f"More in {self.log}."
                    )
                return entry["outputs"]
            self._check_alive()
            time.sleep(0.1)
        raise MisoError(f"The graph had not finished after {seconds:.0f} s.", f"See {self.log}.")

    def file(self, saved: dict) -> Path:
        """Where a file is that an output node has reported."""
        return self.base / saved["type"] / saved.get("subfolder", "") / saved["filename"]

    def _wait_until_up(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                self.get("/system_stats")
                return
            except OSError:  # not listening yet
                time.sleep(0.1)
        raise MisoError(
            f"ComfyUI did not answer within {seconds:.0f} s. The end of {self.log}:\n{tail(self.log)}"
        )

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is not None:
            raise MisoError(
                f"ComfyUI ended by itself (exit status {code}).",
                "If a package is missing or broken, delete the "
                f".miso folder and run the command again. The end of {self.log}:\n{tail(self.log)}",
            )


def free_port(preferred: int = 0) -> int:
    """``preferred`` if nobody listens there, else any that is free."""
    with socket.socket() as probe:
        # Else a port is refused for a minute after its last server. On Windows it would allow a port in use.
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        return probe.getsockname()[1]


def _refusal(body: bytes) -> str:
    reply = json.loads(body)
    details = [
        f"{node['class_type']}: {error['message']} ({error['details']})"
        for node in reply.get("node_errors", {}).values()
        for error in node["errors"]
    ]
    return "; ".join(details) or str(reply.get("error", reply))


def _failure(messages: list) -> str:
    for event, data in messages:
        if event == "execution_error":
            problem = data["exception_message"].strip().rstrip(".")
            return f"{data['node_type']} (node {data['node_id']}): {problem}."
    return "It was interrupted."
