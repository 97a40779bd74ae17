"""Where checkpoints are: the embedded one, published ones in a models folder, codecs and vocoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..codes.retired import other_codec
from ..errors import MisoError
from ..model.config import MIMI

PACK = Path(__file__).parents[2]
BUNDLED = PACK / "miso" / "weights_nano"  # the embedded checkpoint, its codec and its vocoder
# where in a models folder Whisper is: ours, and those of other packs
RECOGNISERS = ("miso_asr", "whisper", "faster-whisper", "stt/whisper")

_WHISPER = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


@dataclass(frozen=True)
class PublishedFile:
    """A file on the Hugging Face Hub: where it is, and what a user should know before fetching it."""

    repository: str
    file: str
    folder: str  # below the models folder
    size: str
    about: str
    tokenizer: bool = False  # whether the model needs the Llama 3 tokenizer
    others: tuple[str, ...] = ()  # of the repository, which belong with it

    def path(self, models: str | Path) -> Path:
        """Where the file belongs in a models folder: one folder per repository, because file names repeat."""
        return self.below(Path(models) / self.folder)

    def below(self, folder: Path) -> Path:
        """The same in a folder of its kind, whatever it is called."""
        return folder / self.repository.split("/")[1] / self.file


PUBLISHED = {
    "miso-8b": PublishedFile(
        repository="MisoLabs/MisoTTS",
        file="model.safetensors",
        folder="miso",
        size="33 GB",
        about="Miso TTS 8B as published (fp32)",
        tokenizer=True,
    ),
    "miso-8b-bf16": PublishedFile(
        repository="drbaph/MisoTTS-BF16",
        file="misotts-bf16.safetensors",
        folder="miso",
        size="16 GB",
        about="Miso TTS 8B in bf16",
        tokenizer=True,
    ),
    "csm-1b": PublishedFile(
        repository="sesame/csm-1b",
        file="model.safetensors",
        folder="miso",
        size="6 GB",
        about="Sesame CSM-1B (its page asks you to accept its terms)",
        tokenizer=True,
    ),
    "mimi": PublishedFile(
        repository="kyutai/mimi",
        file="model.safetensors",
        folder="miso_vocoders",
        size="385 MB",
        about="Kyutai's Mimi codec, for all of the above",
    ),
    "lfm2-detokenizer": PublishedFile(
        repository="LiquidAI/LFM2.5-Audio-1.5B",
        file="audio_detokenizer/model.safetensors",
        folder="miso_vocoders",
        size="315 MB",
        about="LFM2.5-Audio's detokenizer, another decoder for Mimi's codes (LFM Open License v1.0: free for "
        "commercial use below 10 million USD of revenue a year)",
        others=("audio_detokenizer/config.json",),
    ),
    **{
        name: PublishedFile(
            repository=f"openai/{name}",
            file="model.safetensors",
            folder=RECOGNISERS[0],
            size=size,
            about=f"OpenAI's Whisper, to transcribe {languages}",
            others=_WHISPER,
        )
        for name, size, languages in (
            ("whisper-tiny.en", "151 MB", "English, roughly"),
            ("whisper-base", "290 MB", "99 languages, roughly"),
            ("whisper-small", "967 MB", "99 languages"),
            ("whisper-large-v3-turbo", "1.6 GB", "99 languages, best"),
        )
    },
    "tokenizer": PublishedFile(
        repository="unsloth/Llama-3.2-1B",
        file="tokenizer.json",
        folder="miso",
        size="17 MB",
        about="Llama 3's tokenizer, from a repository without a gate",
    ),
}


def models_folder() -> Path:
    """ComfyUI's models folder if this pack is in its custom_nodes, otherwise that of the demo's ComfyUI."""
    if PACK.parent.name == "custom_nodes":
        return PACK.parent.parent / "models"
    return PACK / ".miso" / "base" / "models"


def find_published(name: str, models: Iterable[Path]) -> Path | None:
    """The file of a name in ``PUBLISHED``, in the first models folder that holds it; None if none does."""
    paths = (PUBLISHED[name].path(folder) for folder in models)
    return next((path for path in paths if path.is_file()), None)


def published_as(file: str, folder: str) -> str | None:
    """The name in ``PUBLISHED`` of a file in the models folder ``folder`` of another computer, or None."""
    parts = file.replace("\\", "/").split("/")[-2:]
    return next(
        (
            name
            for name, published in PUBLISHED.items()
            if published.folder == folder and list(published.path("").parts[-2:]) == parts
        ),
        None,
    )


def find_checkpoint(name: str, models: Path) -> Path:
    """The checkpoint for ``name``: an existing path, "nano", or a published name whose file is in ``models``.

    Raises MisoError if there is no such file; for a published name the message says how to fetch it.
    """
    if (path := Path(name)).exists():
        return path
    if name == "nano":
        return BUNDLED / "nano.safetensors"
    if name in PUBLISHED:
        if found := find_published(name, [models]):
            return found
        raise MisoError(
            f"'{name}' ({PUBLISHED[name].size}) is not in {models}.",
            f"Get it with: python -m miso fetch {name}",
            input="checkpoint",
        )
    known = ", ".join(name for name, published in PUBLISHED.items() if published.tokenizer)
    raise MisoError(
        f"There is no checkpoint at {name}.",
        f"Give a path, or one of: nano, {known}.",
        input="checkpoint",
    )


def find_recogniser(name: str, models: Path) -> Path:
    """The folder of a recogniser: an existing path, or a name in the folders of ``models`` that hold Whisper.

    Raises MisoError if there is no such folder.
    """
    places = (Path(name), *(models / folder / name for folder in RECOGNISERS))
    if found := next((place for place in places if place.is_dir()), None):
        return found
    known = name if name in PUBLISHED else "whisper-base"
    raise MisoError(
        f"There is no recogniser '{name}' in {models / RECOGNISERS[0]}.",
        f"Give a folder, or get one with: python -m miso fetch {known}",
        input="recogniser",
    )


def find_codec(codec: str, beside: Path, models: Path) -> Path:
    """The first codec file for codes of the codec id ``codec``.

    Searches the embedded files, the folder ``beside`` (usually the checkpoint's) and
    ``models``/miso_vocoders, in this order. Raises MisoError if no file fits.
    """
    from ..vocoders.mimi.weights import inspect_mimi

    return _find(codec, lambda path: inspect_mimi(path).codec, beside, models)


def find_vocoder(codec: str, beside: Path, models: Path) -> Path:
    """Like ``find_codec``, but prefers a source-filter vocoder, which sounds better for its codes."""
    from ..vocoders.source_filter import inspect_source_filter

    try:
        return _find(codec, lambda path: inspect_source_filter(path).codec_id, beside, models)
    except MisoError:
        return find_codec(codec, beside, models)


def _find(codec: str, codec_of: Callable[[Path], str], beside: Path, models: Path) -> Path:
    folders = [BUNDLED, Path(beside), Path(models) / "miso_vocoders"]
    for folder in folders:
        for path in sorted(folder.rglob("*.safetensors")):
            try:
                if codec_of(path) == codec:
                    return path
            except MisoError:
                continue  # not a codec
    remedy = "Get it with: python -m miso fetch mimi" if codec == MIMI else "Give the path of its file."
    places = " or ".join(map(str, folders))
    told = other_codec(
        codec, f"no file for them is in {places}", f"No codec file for '{codec}' is in {places}.", remedy
    )
    raise MisoError(*told, input="vocoder")
