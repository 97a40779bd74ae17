"""How long work reports how far it is, and is told to stop."""

from collections.abc import Callable

# progress(done, total). Called between pieces of work; an exception it raises ends the work and reaches the caller.
Progress = Callable[[int, int], None]
