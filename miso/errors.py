"""The one exception that is meant to be read by the person at the graph or the command line."""


class MisoError(ValueError):
    """A problem and its remedy, in words for a user.

    ``input`` is the name of the node input or command option that holds the bad value, where one can be named;
    the graph nodes put their own display name in front (see ``nodes.errors``).
    """

    def __init__(self, problem: str, remedy: str = "", input: str | None = None):
        self.problem, self.remedy, self.input = problem, remedy, input
        super().__init__(f"{problem} {remedy}".rstrip())


def missing_package(package: str, needed_for: str, install: str | None = None) -> MisoError:
    """An optional package isn't there: says which block wants it and how to install it."""
    return MisoError(
        f"{needed_for} needs the Python package '{package}', which is not installed.",
        f"Install it with: {install or 'pip install ' + package}",
    )
