"""Known checkpoints and how to get them. Nothing here runs unless someone asked for a model that isn't there."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MisoError, missing_package
from ..progress import Progress
from ..text.tokenizer import find_tokenizer


@dataclass(frozen=True)
class PublishedFile:
    """A published file: where it is, and what a user should know before fetching it."""

    repository: str
    file: str
    folder: str  # under the models folder
    size: str
    about: str
    tokenizer: bool = False  # of no use without Llama 3's

    def path(self, models: str | Path) -> Path:
        """Where the file belongs: a folder of its own, so that file names may repeat."""
        return Path(models) / self.folder / self.repository.split("/")[1] / self.file


PUBLISHED = {
    "miso-8b": PublishedFile(
        "MisoLabs/MisoTTS", "model.safetensors", "miso", "33 GB", "Miso TTS 8B as published (fp32)", True
    ),
    "miso-8b-bf16": PublishedFile(
        "drbaph/MisoTTS-BF16", "misotts-bf16.safetensors", "miso", "16 GB", "Miso TTS 8B in bf16", True
    ),
    "csm-1b": PublishedFile(
        "sesame/csm-1b",
        "model.safetensors",
        "miso",
        "6 GB",
        "Sesame CSM-1B (its page asks you to accept its terms)",
        True,
    ),
    "mimi": PublishedFile(
        "kyutai/mimi",
        "model.safetensors",
        "miso_vocoders",
        "385 MB",
        "Kyutai's Mimi codec, for all of the above",
    ),
    "tokenizer": PublishedFile(
        "unsloth/Llama-3.2-1B",
        "tokenizer.json",
        "miso",
        "17 MB",
        "Llama 3's tokenizer, from a place without a gate",
    ),
}


def fetch_file(
    name: str, models: str | Path, *, tokenizers: Iterable[str | Path] = (), progress: Progress | None = None
) -> Path:
    """The file of a known name, fetched into the models folder if it isn't there; a fetch that was cut off goes on where it stopped.

    A checkpoint's tokenizer comes first: better to fail before 33 GB than after. ``progress(bytes done, of all)`` may raise to interrupt.
    """
    if name not in PUBLISHED:
        raise MisoError(
            f"There is no known checkpoint '{name}'.",
            f"Known are {', '.join(PUBLISHED)}.",
            input="checkpoint",
        )
    known = PUBLISHED[name]
    path = known.path(models)
    if path.is_file():
        return path
    if known.tokenizer:
        tokenizer = PUBLISHED["tokenizer"].path(models)
        try:
            find_tokenizer("llama3", path.parent, [tokenizer, *tokenizers])
        except MisoError:
            fetch_file("tokenizer", models)
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise missing_package("huggingface_hub", f"Fetching {known.repository}") from None
    options = {}
    if (
        progress and "tqdm_class" in inspect.signature(hf_hub_download).parameters
    ):  # older ones draw their own bar in the log
        options["tqdm_class"] = _reporting(progress)
    try:
        return Path(hf_hub_download(known.repository, known.file, local_dir=path.parent, **options))
    except (OSError, ValueError) as e:  # what huggingface_hub raises derives from these
        if isinstance(e, MisoError):
            raise
        raise MisoError(
            f"{known.repository}/{known.file} can't be fetched ({type(e).__name__}: {str(e).splitlines()[0]}).",
            f"Check the connection and try again: it goes on where it stopped. Or put the file at {path} yourself.",
        ) from e


def _reporting(progress: Progress):
    """A progress bar for huggingface_hub that reports instead of drawing."""
    from huggingface_hub.utils import tqdm

    class Reporting(tqdm):
        def display(self, *args, **kwargs):
            pass

        def update(self, n=1):
            super().update(n)
            progress(int(self.n), int(self.total or self.n))

    return Reporting
