"""Model folders, registered so that ``extra_model_paths.yaml`` can add to them, and files chosen by widgets."""

import os
from pathlib import Path

import comfy.text_encoders.llama
import folder_paths

from ..miso.checkpoints.fetch import PUBLISHED, fetch_file
from ..miso.checkpoints.find import BUNDLED
from ..miso.errors import MisoError
from .memory import progress

MODELS, VOCODERS = "miso", "miso_vocoders"
TOKENIZER = (
    Path(comfy.text_encoders.llama.__file__).parent / "llama_tokenizer" / "tokenizer.json"
)  # every ComfyUI has one


def register() -> None:
    for name in (MODELS, VOCODERS):
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        folder_paths.folder_names_and_paths[name][1].update(
            {".safetensors", ".json"} if name == MODELS else {".safetensors"}
        )


def choices(folder: str) -> list[str]:
    """Files of a model folder, and known ones that choosing fetches."""
    files = [
        f
        for f in folder_paths.get_filename_list(folder)
        if not f.endswith(".json") or f.endswith(".index.json")
    ]
    bundled = [
        p.name
        for p in sorted(BUNDLED.glob("*.safetensors"), reverse=True)
        if (p.name != "nano.safetensors") == (folder == VOCODERS)
    ]
    return (
        bundled
        + files
        + [name for name, known in PUBLISHED.items() if known.folder == folder and name != "tokenizer"]
    )


def find(folder: str, choice: str, input: str) -> Path:
    """The file behind a choice; a known one that isn't there is fetched."""
    if (BUNDLED / choice).is_file() and choice in choices(folder):
        return BUNDLED / choice
    if path := folder_paths.get_full_path(folder, choice):
        return Path(path)
    if choice in PUBLISHED and PUBLISHED[choice].folder == folder:
        for models in {Path(p).parent for p in folder_paths.get_folder_paths(folder)}:
            if (path := PUBLISHED[choice].path(models)).is_file():
                return path
        return fetch_file(choice, folder_paths.models_dir, tokenizers=[TOKENIZER], progress=progress())
    raise MisoError(
        f"'{choice}' is not in the model folder '{folder}'.",
        f"Put it into {folder_paths.get_folder_paths(folder)[0]}, or choose another.",
        input=input,
    )


def codes_path(choice: str, input: str) -> Path:
    """A file of ComfyUI's input, or of its output marked ' [output]'; never one outside them."""
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
    """Codes files in ComfyUI's input folder and in output/codes, newest first. Schemas are asked for often: no more is searched."""
    inputs, outputs = Path(folder_paths.get_input_directory()), Path(folder_paths.get_output_directory())
    found = [(path.stat().st_mtime, path.name) for path in inputs.glob("*.safetensors")]
    found += [
        (path.stat().st_mtime, f"{path.relative_to(outputs).as_posix()} [output]")
        for path in (outputs / "codes").rglob("*.safetensors")
    ]
    return [name for _, name in sorted(found, reverse=True)]
