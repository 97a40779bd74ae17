"""The published archive: no call of another program, no network, no environment write, that a scan of the
registry would flag."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# `demo` and `test` make an environment with pip and start ComfyUI, when somebody runs them; no block does
BOOTSTRAP = "miso/tools/bootstrap/"
FLAGGED = {
    "programs": r"\bsubprocess\b|os\.system|\bpopen\b|os\.exec|\bpty\.",
    "code from text": r"(?<![.\w])(?:eval|exec|compile|__import__)\(|new Function\(",
    "pickles": r"pickle\.load|\btorch\.load\(|allow_pickle=True|marshal",
    "network": r"\burllib\b|\bimport requests|\bhttp\.client|\bsocket\.socket|\baiohttp\b|XMLHttpRequest"
    r"|new WebSocket|sendBeacon",
    "environment writes": r"environ\[[^\]]+\]\s*=|environ\.(?:setdefault|update|pop)|putenv",
    "imports by name": r"import_module\(",
    "connect": r"\.connect\(",
}
# what is left, with the answer that docs/security.md gives
LEFT = {
    "environment writes": Counter({"miso/cli/commands/workers.py": 1}),  # Ray sends no usage statistics
    # modules of this pack on first use, by names that stand in its own tables
    "imports by name": Counter(
        {"miso/__init__.py": 1, "miso/cli/__init__.py": 2, "miso/tools/export.py": 1}
        | {"miso/vocoders/registry.py": 1}
    ),
    "connect": Counter({"web/lib/abplayer.js": 2, "web/lib/player.js": 2}),  # the page's audio graph
}


def published() -> list[str]:
    """Files of the repository that .comfyignore doesn't leave out."""
    ignored = [
        line.strip()
        for line in (ROOT / ".comfyignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git repository")
    return [name for name in listed.stdout.splitlines() if not name.startswith(tuple(ignored))]


def test_the_archive_holds_what_runs_and_no_tests():
    files = published()
    assert {"__init__.py", "pyproject.toml", "requirements.txt", "web/miso.js"} <= set(files)
    assert not any(name.startswith(("tests/", ".ci/")) for name in files)


@pytest.mark.parametrize("kind", FLAGGED)
def test_nothing_in_the_archive_is_flagged(kind):
    found: Counter[str] = Counter()
    for name in published():
        if name.endswith((".py", ".js")) and not name.startswith(BOOTSTRAP):
            found[name] += len(re.findall(FLAGGED[kind], (ROOT / name).read_text(encoding="utf-8")))
    assert +found == LEFT.get(kind, Counter())
