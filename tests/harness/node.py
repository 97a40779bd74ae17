"""The page's pure modules outside the browser, in the Node.js that Playwright's package carries."""

import json
import subprocess
from pathlib import Path
from typing import Any

from playwright._impl._driver import compute_driver_executable

LIB = Path(__file__).parents[2] / "web" / "lib"


def node(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess:
    executable = compute_driver_executable()
    program = executable[0] if isinstance(executable, tuple) else executable
    # ComfyUI wants the suffix .js for modules; Node.js would warn about it
    return subprocess.run([program, "--no-warnings", *arguments], input=text, capture_output=True, text=True)


def call(module: str, body: str, argument: Any) -> Any:
    """What ``body``, a JavaScript function of ``argument`` and the exports of web/lib/``module``, returns."""
    script = f"""import * as lib from {json.dumps((LIB / module).as_uri())};
let text = ""; for await (const part of process.stdin) text += part;
process.stdout.write(JSON.stringify(({body})(JSON.parse(text), lib)));"""
    done = node("--input-type=module", "-e", script, text=json.dumps(argument))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
