"""Editing codes: pure operations, the same as a list of data (``apply``), coded silence, and how audible a seam is."""

from .edits import Edited, apply
from .operations import (
    copy,
    delete,
    insert,
    insert_silence,
    keep_codebooks,
    move,
    prefix,
    repeat,
    replace_codebooks,
    splice,
    swap_take,
    trim,
)
from .silence import coded_silence

__all__ = ["Edited", "apply", "coded_silence", "copy", "delete", "insert", "insert_silence", "keep_codebooks", "move", "prefix", "repeat",
           "replace_codebooks", "splice", "swap_take", "trim"]
