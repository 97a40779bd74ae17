"""Editing of codes: pure functions, and ``apply`` for the same operations as data."""

from .edits import MISFIT, Edited, apply, made_on
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
    "MISFIT",
    "Edited",
    "apply",
    "copy",
    "delete",
    "insert",
    "insert_silence",
    "keep_codebooks",
    "made_on",
    "move",
    "prefix",
    "repeat",
    "replace_codebooks",
    "splice",
    "trim",
]
