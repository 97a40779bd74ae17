"""Model folders, which ``extra_model_paths.yaml`` can extend, and the files that widgets choose."""

import os
import re
from pathlib import Path

import comfy.text_encoders.llama
import folder_paths

from ..miso.audio.recogniser import is_recogniser
from ..miso.checkpoints.fetch import fetch_file
from ..miso.checkpoints.find import BUNDLED, PUBLISHED, published_as
from ..miso.checkpoints.find import RECOGNISERS as WHISPER
from ..miso.errors import MisoError
from ..miso.text.pronunciations import FILE, Pronunciations
from ..miso.text.voice import FOLDER as VOICES
from .labels import label, unlabel
from .memory import progress
from .sockets import show_on_node

MODELS, VOCODERS, RECOGNISERS = "miso", "miso_vocoders", WHISPER[0]
ADAPTERS = "miso_loras"
_MORE_SUFFIXES = {MODELS: [".json"], VOCODERS: [".onnx"]}
EMBEDDED_VOICES = BUNDLED / "voices"
# Llama 3's tokenizer, which every ComfyUI has
TOKENIZER = Path(comfy.text_encoders.llama.__file__).parent / "llama_tokenizer" / "tokenizer.json"


def register() -> None:
    """Add the pack's model folders to ComfyUI's."""
    for name in (MODELS, VOCODERS, VOICES, ADAPTERS):
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        suffixes = {".safetensors", *_MORE_SUFFIXES.get(name, ())}
        folder_paths.folder_names_and_paths[name][1].update(suffixes)
    for name in WHISPER:
        folder_paths.add_model_folder_path(RECOGNISERS, os.path.join(folder_paths.models_dir, name))


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
    return [*sorted(bundled, reverse=True), *map(label, files), *_published(folder)]


def _published(folder: str) -> list[str]:
    return [
        name if _found(folder, name) else f"{name} (download, {file.size})"
        for name, file in PUBLISHED.items()
        if file.folder == folder and name != "tokenizer"
    ]


def model_path(folder: str, choice: str) -> str | None:
    """The path of a choice among the files of a model folder; None if there is no such file."""
    name = unlabel(choice, folder_paths.get_filename_list(folder))
    # a workflow from Windows has the other slash
    return folder_paths.get_full_path(folder, name) or folder_paths.get_full_path(
        folder, name.replace("\\", "/")
    )


def adapters() -> list[str]:
    """The choices of Load LoRA."""
    return list(map(label, folder_paths.get_filename_list(ADAPTERS))) or [_NO_ADAPTERS]


def adapter_path(choice: str) -> Path:
    """The file behind a choice of Load LoRA."""
    if path := model_path(ADAPTERS, choice):
        return Path(path)
    place = folder_paths.get_folder_paths(ADAPTERS)[0]
    if choice == _NO_ADAPTERS:
        raise MisoError(f"No LoRA yet: put one into {place}.", input="adapter")
    raise MisoError(
        f"LoRA missing: put '{choice}' into {place}, or choose another.",
        "Whoever shared this workflow knows where it comes from.",
        input="adapter",
    )


def voices() -> list[str]:
    """The choices of Load Voice: the user's voices, then the embedded ones."""
    return [*_saved_voices(), *sorted(path.stem for path in EMBEDDED_VOICES.glob("*.safetensors"))]


def voice_path(choice: str) -> Path:
    """The file behind a choice of Load Voice."""
    saved, name = _saved_voices(), choice.replace("\\", "/")  # a workflow from Windows has the other slash
    if name in saved and (path := folder_paths.get_full_path(VOICES, saved[name])):
        return Path(path)
    if (path := EMBEDDED_VOICES / f"{name}.safetensors") in EMBEDDED_VOICES.glob("*.safetensors"):
        return path
    place = folder_paths.get_folder_paths(VOICES)[0]
    raise MisoError(
        f"Voice missing: put '{choice}.safetensors' into {place}, or choose another.",
        "Whoever shared this workflow has it; it is a few kilobytes.",
        input="voice",
    )


def _saved_voices() -> dict[str, str]:
    """Choices and files of the user's voices."""
    try:
        files = folder_paths.get_filename_list(VOICES)
    except OSError:  # ComfyUI remembers a folder that has been removed
        return {}
    return {label(Path(file).with_suffix("").as_posix()): file for file in files}


def pronunciations() -> Pronunciations:
    """The user's own, from pronunciations.txt in the models folder."""
    path = _pronunciations_file()
    return Pronunciations.read(path) if path else Pronunciations()


def pronunciations_modified() -> int | None:
    """When that file was last changed."""
    path = _pronunciations_file()
    return path.stat().st_mtime_ns if path else None


def _pronunciations_file() -> Path | None:
    paths = (Path(folder) / FILE for folder in folder_paths.get_folder_paths(MODELS))
    return next((path for path in paths if path.is_file()), None)


def recognisers() -> list[str]:
    """The choices of Load Recogniser: the user's, then published ones to download."""
    there = _recognisers()
    return [*there, *(name for name in _published(RECOGNISERS) if name not in there)]


def recogniser_path(choice: str) -> Path:
    """The folder behind a choice of Load Recogniser, downloaded as ``find`` does."""
    there = _recognisers()
    if (folder := there.get(choice) or there.get(choice.replace("\\", "/"))) is None:
        folder = find(RECOGNISERS, choice, "recogniser").parent
    return folder


def _recognisers() -> dict[str, Path]:
    """Choices and folders of the user's recognisers; of two of one name the first."""
    found: dict[str, Path] = {}
    for place in map(Path, folder_paths.get_folder_paths(RECOGNISERS)):
        folders = sorted(folder for folder in [*place.glob("*"), *place.glob("*/*")] if is_recogniser(folder))
        for folder in folders:
            found.setdefault(label(folder.relative_to(place).as_posix()), folder)
    return found


def find(folder: str, choice: str, input: str) -> Path:
    """The file behind a choice. A published one is downloaded unless it is there: choosing it is consent."""
    if (BUNDLED / choice).is_file() and choice in choices(folder):
        return BUNDLED / choice
    if path := model_path(folder, choice):
        return Path(path)
    place = Path(folder_paths.get_folder_paths(folder)[0])  # the user's default, if there is one
    name = _DOWNLOAD.sub("", choice)  # workflows of earlier versions have the name alone
    if name in PUBLISHED and PUBLISHED[name].folder == folder:
        if found := _found(folder, name):
            return found
        show_on_node(f"Downloading {PUBLISHED[name].size} to {PUBLISHED[name].below(place)}")
        return fetch_file(
            name, folder_paths.models_dir, folder=place, tokenizers=[TOKENIZER], progress=progress()
        )
    if published := published_as(choice, folder):
        size = PUBLISHED[published].size
        raise MisoError(
            f"File missing: choose '{published} (download, {size})' to download '{choice}', or put it into "
            f"{place}.",
            input=input,
        )
    raise MisoError(
        f"File missing: put '{choice}' into {place}, or choose another.",
        "Whoever shared this workflow knows where it comes from.",
        input=input,
    )


_NO_ADAPTERS = "put a LoRA into models/miso_loras"
_DOWNLOAD = re.compile(r" \(download, [^()]*\)$")  # how a choice ends that isn't there yet


def _found(folder: str, name: str) -> Path | None:
    """The file of a published name, if it was downloaded."""
    paths = (PUBLISHED[name].below(Path(place)) for place in folder_paths.get_folder_paths(folder))
    return next((path for path in paths if path.is_file()), None)
