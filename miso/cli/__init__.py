"""The command line, ``python -m miso``.

Each module here adds the arguments of some commands. The code that they run is in the module of the same name
in ``commands``; it is imported when a command runs, so that ``--help`` is fast and works without PyTorch.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from .. import __version__
from ..errors import MisoError
from .arguments import CommandGroup, in_options

# title in --help -> modules here, with ``add_commands``, and of the same name in ``commands``
GROUPS = {
    "speech": ["speech", "batch"],
    "files": ["files"],
    "store": ["store"],
    "training and measurement": ["training", "measurement"],
}
# __main__ runs these, because they work in a Python without PyTorch
ENVIRONMENT = [
    ("demo", "run the text-to-speech workflow in a real ComfyUI (--serve keeps it running)"),
    ("test", "run the tests"),
]
NOTES = """demo and test create their own environment in .miso; they need no packages installed.
COMMAND --help lists the options of a command.

exit status:
  0    done
  1    an error, explained on standard error; batch: failed lines; parity, cache verify: what they found
  2    wrong usage
  130  interrupted"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Raises MisoError for errors that a user can fix."""
    args = parser().parse_args(arguments)
    module, function = args.run
    command = getattr(import_module(f".commands.{module}", __name__), function)
    try:
        return command(args) or 0
    except MisoError as e:
        raise MisoError(in_options(e, args), input=e.input) from e


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``args.run`` is the module in ``commands`` and the function to call."""
    program = "python -m miso"
    result = argparse.ArgumentParser(
        program,
        usage=f"{program} [-h] [--version] COMMAND ...",
        description="Miso: text to codes to sound. Codes can be saved, edited and decoded by any vocoder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--version", action="version", version=__version__)
    # the epilog lists the commands, because argparse can't list subcommands in groups
    subparsers = result.add_subparsers(prog=program, metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    sections = []
    for title, modules in GROUPS.items():
        listed = []
        for module in modules:
            group = CommandGroup(subparsers, module)
            import_module(f".{module}", __name__).add_commands(group)
            listed += group.commands
        sections.append(_section(title, listed))
    result.epilog = "\n\n".join([*sections, _section("environment", ENVIRONMENT), NOTES])
    return result


def _section(title: str, commands: list[tuple[str, str]]) -> str:
    return "\n".join([f"{title}:", *(f"  {name:<10} {help}" for name, help in commands)])
