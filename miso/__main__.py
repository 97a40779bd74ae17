"""``python -m miso``.

``demo`` and ``test`` create the environment that the other commands need, so they run without PyTorch.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036  before importing modules that older Pythons can't parse
    version = sys.version.split()[0]
    sys.exit(f"miso: this is Python {version}; Miso needs 3.10 to 3.13, for example: python3.11 -m miso")

import io

from .errors import MisoError

NO_TORCH = r"""miso: this Python has no PyTorch. Use the Python of your ComfyUI, or let `python -m miso demo`
create an environment and use its Python: .miso/venv/bin/python -m miso ...
(on Windows .miso\venv\Scripts\python)"""


def main() -> int:
    """Run the command of ``sys.argv``; returns the exit status that ``python -m miso --help`` documents."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console's encoding may lack characters of a path or text
    try:
        return run(sys.argv[1:])
    except MisoError as e:
        print(f"miso: {e}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as e:
        if e.name != "torch":
            raise
        print(NO_TORCH, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    if command == "demo":
        from .tools.bootstrap.demo import main as demo

        return demo(arguments[1:])
    if command == "test":
        from .tools.bootstrap.test import main as test

        return test(arguments[1:])
    from .cli import main as cli

    return cli(arguments)


if __name__ == "__main__":
    sys.exit(main())
