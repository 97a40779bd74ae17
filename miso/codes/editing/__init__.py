"""Editing codes: pure operations, the same as a list of data (``apply``)."""

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
    trim,
)

__all__ = [
    "Edited",
    "apply",
    "copy",
    "delete",
    "insert",
    "insert_silence",
    "keep_codebooks",
    "move",
    "prefix",
    "repeat",
    "replace_codebooks",
    "splice",
    "trim",
]
