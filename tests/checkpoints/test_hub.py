"""Downloads from a hub that a local server plays, through HF_ENDPOINT: cut, refused, missing."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTENT = os.urandom(2**20) * 21  # huggingface_hub writes 10 MB at once
FETCH = """
import sys
from miso.checkpoints.fetch import fetch_file
from miso.errors import MisoError
try:
    print(fetch_file("mimi", sys.argv[1]))
except MisoError as e:
    print("MisoError:", e)
"""


class Hub(BaseHTTPRequestHandler):
    """Serves one file; ``fault`` is a status, "cut" (the first answer ends early), "always" (each does),
    "other" (what is served has another checksum) or "wait" (nothing more comes after 15 MB).
    """

    fault: "int | str" = 200
    requests: "list[str]" = []
    served = threading.Event()  # set when the fetching process is gone

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        start = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        Hub.requests.append(f"{self.command} {start}")
        if isinstance(self.fault, int) and self.fault != 200:
            self.send_response(self.fault)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        announced = hashlib.sha256(b"other" if self.fault == "other" else CONTENT).hexdigest()
        self.send_header("ETag", f'"{announced}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        if body:
            cut = self.fault in ("always", "wait") or self.fault == "cut" and not start
            with contextlib.suppress(ConnectionError):  # the other side was killed
                self.wfile.write(CONTENT[start : 15 * 2**20 if cut else None])
            if self.fault == "wait":
                Hub.served.wait(60)
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def fetch(tmp_path):
    """``fetch(fault)`` in a process of its own: what it printed, and the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def fetch(fault):
        Hub.fault, Hub.requests = fault, []
        variables = {
            **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        }
        variables.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-c", FETCH, tmp_path / "models"]
        path = tmp_path / "models" / "miso_vocoders" / "mimi" / "model.safetensors"
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if fault == "wait":
            until = time.monotonic() + 60
            while time.monotonic() < until and not any(
                part.stat().st_size >= 10**7 for part in path.parent.rglob("*.incomplete")
            ):
                pass
            process.kill()
        said, _ = process.communicate(timeout=120)
        Hub.served.set()
        return said, path

    yield fetch
    server.shutdown()


def test_a_download_that_is_cut_is_resumed(fetch):
    said, path = fetch("cut")
    assert path.is_file() and path.read_bytes() == CONTENT, said
    assert any(request.startswith("GET") and not request.endswith(" 0") for request in Hub.requests)


def test_a_killed_download_is_fetched_again_and_leaves_nothing(fetch):
    """Killed when 10 MB are written. What it left is removed when it is an hour old."""
    _, path = fetch("wait")
    (left,) = path.parent.rglob("*.incomplete")
    assert not path.exists()
    said, path = fetch(404)
    assert "can't be fetched" in said and left.exists(), "another process may be writing it"
    os.utime(left, (time.time() - 4000,) * 2)
    said, path = fetch(200)
    assert path.is_file() and path.read_bytes() == CONTENT, said
    assert not [*path.parent.rglob("*.incomplete")]


@pytest.mark.slow  # it is tried five times, with pauses
def test_a_hub_that_always_cuts_is_told_in_words(fetch):
    said, path = fetch("always")
    assert "MisoError: kyutai/mimi/model.safetensors can't be fetched" in said and not path.exists()
    assert "Check the connection and try again" in said


@pytest.mark.parametrize(
    "status", [404, *(pytest.param(code, marks=pytest.mark.slow) for code in (401, 403, 429, 500))]
)
def test_a_hub_that_refuses_is_told_in_words_and_leaves_no_file(fetch, status):
    said, path = fetch(status)
    assert "MisoError: kyutai/mimi/model.safetensors can't be fetched" in said and "Traceback" not in said
    assert not path.exists()


def test_a_file_that_is_not_the_hub_s_is_removed(fetch):
    said, path = fetch("other")
    assert "MisoError: kyutai/mimi/model.safetensors came damaged: its checksum isn't the hub's" in said
    assert not path.exists()
