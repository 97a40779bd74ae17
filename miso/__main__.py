"""``python -m miso``. ``demo`` and ``test`` make the environment that the other commands need, so they run without it."""

import sys

if sys.version_info < (3, 10):  # noqa: UP036  said before anything is imported that an older Python can't read
    sys.exit(
        f"miso: this is Python {sys.version.split()[0]}; Miso needs 3.10 to 3.13, for example: python3.11 -m miso"
    )

from .errors import MisoError


def main() -> int:
    command, rest = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    try:
        if command == "demo":
            from .tools.bootstrap.demo import main as demo

            return demo(rest)
        if command == "test":
            from .tools.bootstrap.test import main as test

            return test(rest)
        from .cli import main as cli

        return cli()
    except MisoError as e:
        print(f"miso: {e}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as e:
        if e.name != "torch":
            raise
        print(
            "miso: this Python has no PyTorch. Use your ComfyUI's Python, or let `python -m miso demo` make an environment\n"
            "and use its: .miso/venv/bin/python -m miso ... (on Windows .miso\\venv\\Scripts\\python)",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
