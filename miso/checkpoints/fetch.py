"""Downloads of published checkpoints. Nothing here runs unless a user asked for a model that is not there."""

from __future__ import annotations

import contextlib
import inspect
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import MisoError, first_line, missing_package
from ..files import file_digest
from ..progress import Progress
from ..text.tokenizer import find_tokenizer
from .find import PUBLISHED, PublishedFile

_OF_ONE_DOWNLOAD = re.compile(r"\.[0-9a-f]{8}\.incomplete$")


def fetch_file(
    name: str,
    models: str | Path,
    *,
    folder: Path | None = None,
    tokenizers: Iterable[str | Path] = (),
    progress: Progress | None = None,
) -> Path:
    """Return the file of a published name, downloading it into the models folder if it is not there.

    ``folder``: where files of its kind belong, if that is not the usual folder below ``models``.

    A connection that is cut is taken up again; a finished download is compared with the hub's checksum. For
    a checkpoint that needs a tokenizer, the tokenizer is downloaded first unless one of ``tokenizers``
    exists: a failure then comes before 33 GB rather than after. ``progress(bytes done, bytes in total)`` may
    raise to interrupt.

    Raises MisoError if the name is unknown, the download fails or the file isn't the hub's.
    """
    if name not in PUBLISHED:
        raise MisoError(
            f"There is no known checkpoint '{name}'.",
            f"Known names are {', '.join(PUBLISHED)}.",
            input="checkpoint",
        )
    published = PUBLISHED[name]
    path = published.path(models) if folder is None else published.below(folder)
    if path.is_file():
        return path
    if published.tokenizer:
        try:
            find_tokenizer("llama3", path.parent, [PUBLISHED["tokenizer"].path(models), *tokenizers])
        except MisoError:
            fetch_file("tokenizer", models)
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    except ImportError:
        raise missing_package("huggingface_hub", f"Fetching {published.repository}") from None
    place = path.parents[published.file.count("/")]  # the repository's folder
    options: dict[str, Any] = {}
    interruptions: list[Exception] = []  # what ``progress`` raises is not the download's
    # older versions lack the parameter and draw their own bar in the log
    if progress and "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        options["tqdm_class"] = _reporting(progress, interruptions)
    _sweep(place)
    try:
        for other in published.others:
            hf_hub_download(published.repository, other, local_dir=place)
        checksum = get_hf_file_metadata(hf_hub_url(published.repository, published.file)).etag
        fetched = Path(hf_hub_download(published.repository, published.file, local_dir=place, **options))
    except Exception as e:  # huggingface_hub's, and those of the HTTP package that it uses, which changes
        if isinstance(e, MisoError) or e in interruptions:
            raise
        raise MisoError(
            f"{published.repository}/{published.file} can't be fetched ({type(e).__name__}: "
            f"{first_line(e)}).",
            f"Check the connection and try again. Or put the file at {path} yourself.",
        ) from e
    _verify(fetched, checksum or "", published, progress)
    return fetched


def _sweep(folder: Path) -> None:
    """Remove what killed downloads left.

    huggingface_hub 2 gives every download a file of its own and takes none up again; earlier versions do, and
    name it otherwise. What has grown in the last hour may be in use.
    """
    for left in folder.rglob("*.incomplete"):
        with contextlib.suppress(OSError):  # another process may have removed it, or hold it open
            if _OF_ONE_DOWNLOAD.search(left.name) and time.time() - left.stat().st_mtime > 3600:
                left.unlink()


def _verify(path: Path, checksum: str, published: PublishedFile, progress: Progress | None) -> None:
    """Remove a file that differs from its SHA-256, which the hub's ETag is for large files."""
    if len(checksum) == 64 and file_digest(path, progress) != checksum:
        path.unlink()
        raise MisoError(
            f"{published.repository}/{published.file} came damaged: its checksum isn't the hub's.",
            "The file was removed. Fetch it again.",
        )


def _reporting(progress: Progress, interruptions: list[Exception]) -> type:
    """A tqdm class for huggingface_hub that calls ``progress`` instead of drawing a bar.

    What it raises is added to ``interruptions``.
    """
    from huggingface_hub.utils import tqdm

    class Reporting(tqdm):
        def display(self, *args, **kwargs):
            pass

        def update(self, n=1):
            super().update(n)
            try:
                progress(int(self.n), int(self.total or self.n))
            except Exception as e:
                interruptions.append(e)
                raise

    return Reporting
