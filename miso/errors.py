"""The one exception whose message is meant for the person at the graph or the command line, and its words."""


class MisoError(ValueError):
    """A problem and its remedy, worded for a user.

    ``input`` is the name of the node input or command option that holds the bad value, if there is one. Graph
    nodes put that input's display name in front of the message.
    """

    def __init__(self, problem: str, remedy: str = "", input: str | None = None):
        self.problem, self.remedy, self.input = problem, remedy, input
        super().__init__(f"{problem} {remedy}".rstrip())


def missing_package(package: str, needed_for: str, install: str | None = None) -> MisoError:
    """The error for an optional package that is not installed: what needs it and how to install it."""
    return MisoError(
        f"{needed_for} needs the Python package '{package}', which is not installed.",
        f"Install it with: {install or 'pip install ' + package}",
    )


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line; its type if it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def counted(number: int, what: str) -> str:
    """A number and what is counted: 1 turn, 2 turns."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
