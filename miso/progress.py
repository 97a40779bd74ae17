"""How a long operation reports progress and is interrupted."""

from collections.abc import Callable

# progress(done, total) is called between steps. An exception it raises stops the operation and reaches the
# caller.
Progress = Callable[[int, int], None]
