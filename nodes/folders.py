"""Model folders, which ``extra_model_paths.yaml`` can extend, and the files that widgets choose."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import comfy.text_encoders.llama
import folder_paths

from ..miso.checkpoints.fetch import fetch_file
from ..miso.checkpoints.find import BUNDLED, PUBLISHED, find_published
from ..miso.errors import MisoError
from .labels import label, unlabel
from .memory import progress

MODELS, VOCODERS = "miso", "miso_vocoders"
# Llama 3's tokenizer, which every ComfyUI has
TOKENIZER = Path(comfy.text_encoders.llama.__file__).parent / "llama_tokenizer" / "tokenizer.json"


def register() -> None:
    """Add the pack's model folders to ComfyUI's."""
    for name in (MODELS, VOCODERS):
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        suffixes = {".safetensors", ".json"} if name == MODELS else {".safetensors"}
        folder_paths.folder_names_and_paths[name][1].update(suffixes)


def choices(folder: str) -> list[str]:
    """The choices of a model widget: bundled files, files of the folder, and published ones to download."""
    # nano.safetensors is the only bundled model; the other bundled files are vocoders
    is_vocoder = {path.name: path.name != "nano.safetensors" for path in BUNDLED.glob("*.safetensors")}
    bundled = [name for name, vocoder in is_vocoder.items() if vocoder == (folder == VOCODERS)]
    files = [
        f
        for f in folder_paths.get_filename_list(folder)
        if not f.endswith(".json") or f.endswith(".index.json")
    ]
    published = [name for name, file in PUBLISHED.items() if file.folder == folder and name != "tokenizer"]
    return [*sorted(bundled, reverse=True), *map(label, files), *published]


def model_path(folder: str, choice: str) -> str | None:
    """The path of a choice among the files of a model folder; None if there is no such file."""
    return folder_paths.get_full_path(folder, unlabel(choice, folder_paths.get_filename_list(folder)))


def find(folder: str, choice: str, input: str) -> Path:
    """The file behind a choice. A published one that isn't there is downloaded."""
    if (BUNDLED / choice).is_file() and choice in choices(folder):
        return BUNDLED / choice
    if path := model_path(folder, choice):
        return Path(path)
    if choice in PUBLISHED and PUBLISHED[choice].folder == folder:
        if found := find_published(choice, {Path(p).parent for p in folder_paths.get_folder_paths(folder)}):
            return found
        return fetch_file(choice, folder_paths.models_dir, tokenizers=[TOKENIZER], progress=progress())
    raise MisoError(
        f"'{choice}' is not in the model folder '{folder}'.",
        f"Put it into {folder_paths.get_folder_paths(folder)[0]}, or choose another.",
        input=input,
    )


def codes_path(choice: str, input: str) -> Path:
    """The path of a file in ComfyUI's input folder, or in its output folder if marked ' [output]'.

    Never one outside them.
    """
    name, base = folder_paths.annotated_filepath(unlabel(choice, _codes_files()))
    base = os.path.abspath(base or folder_paths.get_input_directory())
    path = os.path.abspath(os.path.join(base, name))
    if os.path.commonpath((base, path)) != base:
        raise MisoError(
            f"'{choice}' lies outside ComfyUI's folders.",
            "Choose a file of the input or output folder.",
            input=input,
        )
    if not os.path.isfile(path):
        raise MisoError(f"'{choice}' is not there any more.", "Choose another file.", input=input)
    return Path(path)


def codes_choices() -> list[str]:
    """The choices of Load Codes, newest first."""
    return [label(name) for name in _codes_files()]


def _codes_files() -> list[str]:
    """Codes files in ComfyUI's input folder and in output/codes, newest first.

    ComfyUI asks for schemas often, so no other folder is searched. What can't be read is left out: a schema
    that fails takes its block away.
    """
    outputs = folder_paths.get_output_directory()
    found = [(time, entry.name) for time, entry in _tensors(folder_paths.get_input_directory())]
    for folder, _, _ in os.walk(os.path.join(outputs, "codes")):
        for time, entry in _tensors(folder):
            found.append((time, f"{Path(entry.path).relative_to(outputs).as_posix()} [output]"))
    return [name for _, name in sorted(found, reverse=True)]


def _tensors(folder: str) -> Iterator[tuple[float, os.DirEntry]]:
    """The .safetensors files directly in a folder, each with its time of change."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):  # a dangling link, a link to itself
            if entry.name.endswith(".safetensors") and entry.is_file():
                yield entry.stat().st_mtime, entry
