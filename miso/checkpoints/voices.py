"""Where voices are: the embedded ones, those in a models folder."""

from __future__ import annotations

from pathlib import Path

from ..errors import MisoError
from ..text.voice import FOLDER
from .find import BUNDLED


def find_voice(name: str, beside: Path, models: Path) -> Path:
    """The file of a voice: a path, relative to the folder ``beside``; or a name.

    Names are those of files in the voices folder of ``models``, and of the embedded voices. Raises MisoError
    if there is no such file.
    """
    if (path := Path(beside) / name).is_file():
        return path
    folders = [Path(models) / FOLDER, BUNDLED / "voices"]
    for folder in folders:
        for path in folder.glob("*.safetensors"):
            if path.stem == name:
                return path
    embedded = ", ".join(sorted(path.stem for path in folders[1].glob("*.safetensors")))
    raise MisoError(
        f"There is no voice '{name}'.",
        f"Give the path of its file, or a name: {embedded}, or a file in {folders[0]}.",
        input="voice",
    )
