"""What the pack costs when ComfyUI starts."""

import os
import re
import subprocess
import sys
import time

import pytest

GUARD = """
import socket
def refuse(*args, **kwargs):
    raise SystemExit(f"NETWORK AT START {args}")
socket.getaddrinfo = socket.socket.connect = socket.create_connection = refuse
"""


@pytest.mark.host
def test_start_is_quick_and_offline(comfyui, base, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    command = [
        sys.executable,
        "main.py",
        "--cpu",
        "--base-directory",
        str(base),
        "--database-url",
        "sqlite:///:memory:",
        "--disable-api-nodes",
        "--quick-test-for-ci",
    ]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=comfyui, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    seconds = time.monotonic() - began
    log = done.stdout + done.stderr
    assert done.returncode == 0 and "NETWORK AT START" not in log, log
    found = re.search(r"([\d.]+) seconds: .*miso-codes", log)
    assert found, log  # a pack that failed has "(IMPORT FAILED)" before the colon
    ours = float(found[1])
    assert ours < 0.1 * seconds  # of ComfyUI's whole start
