"""Model folders, which ``extra_model_paths.yaml`` can extend, and the files that widgets choose."""

import os
from pathlib import Path

import comfy.text_encoders.llama
import folder_paths

from ..miso.checkpoints.fetch import fetch_file
from ..miso.checkpoints.find import BUNDLED, PUBLISHED, find_published
from ..miso.errors import MisoError
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
    found = folder_paths.get_filename_list(folder)
    files = [f for f in found if not f.endswith(".json") or f.endswith(".index.json")]
    # nano.safetensors is the only bundled model; the other bundled files are vocoders
    bundled = [
        p.name
        for p in BUNDLED.glob("*.safetensors")
        if (p.name != "nano.safetensors") == (folder == VOCODERS)
    ]
    published = [name for name, file in PUBLISHED.items() if file.folder == folder and name != "tokenizer"]
    return [*sorted(bundled, reverse=True), *files, *published]


def find(folder: str, choice: str, input: str) -> Path:
    """The file behind a choice. A published one that isn't there is downloaded."""
    if (BUNDLED / choice).is_file() and choice in choices(folder):
        return BUNDLED / choice
    if path := folder_paths.get_full_path(folder, choice):
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
    name, base = folder_paths.annotated_filepath(choice)
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


def codes_files() -> list[str]:
    """Codes files in ComfyUI's input folder and in output/codes, newest first.

    ComfyUI asks for schemas often, so no other folder is searched.
    """
    inputs, outputs = Path(folder_paths.get_input_directory()), Path(folder_paths.get_output_directory())
    found = [(path.stat().st_mtime, path.name) for path in inputs.glob("*.safetensors")]
    for path in (outputs / "codes").rglob("*.safetensors"):
        found.append((path.stat().st_mtime, f"{path.relative_to(outputs).as_posix()} [output]"))
    return [name for _, name in sorted(found, reverse=True)]
