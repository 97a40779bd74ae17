"""Facts about checkpoints, cached on disk: a run whose codes are all in the store opens no checkpoint."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from .. import __version__
from ..errors import MisoError
from ..files import read_json, replacing
from ..model.config import ModelConfig
from ..progress import Progress
from ..text.conditioning import TextEncoder
from ..text.tokenizer import find_tokenizer
from .checkpoint import Checkpoint
from .fingerprint import stamp


class CheckpointSummary:
    """Config, fingerprint and kind of weights of a checkpoint (a file or an index of shards).

    They come from a note in ``folder`` if sizes and modification times of all files are those in the note,
    otherwise from the files. Each checkpoint has its own note, so that several servers can share the folder.
    ``checkpoint``, for loading weights, is opened on first use. ``progress`` is that of reading all files.
    """

    def __init__(self, path: str | Path, folder: str | Path, progress: Progress | None = None):
        self.path, self._progress = Path(path).absolute(), progress
        self._note = Path(folder) / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:32]}.json"
        self.config, self.fingerprint, self.weights = self._from_note() or self._from_files()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint itself. Raises MisoError if its files have changed since the summary was made."""
        opened = Checkpoint(self.path)
        if opened.fingerprint != self.fingerprint:  # its codes would be stored under the other's fingerprint
            self._note.unlink(missing_ok=True)
            raise MisoError(
                f"{self.path.name} has been replaced by another checkpoint since it was last read.",
                "Restart ComfyUI and run again.",
            )
        return opened

    def text_encoder(self, tokenizers: Iterable[str | Path] = ()) -> TextEncoder:
        """The text encoder; ``tokenizers`` are further paths where a tokenizer.json may be."""
        return TextEncoder(
            self.config, find_tokenizer(self.config.conventions.tokenizer, self.path.parent, tokenizers)
        )

    def _from_note(self) -> tuple[ModelConfig, str, str] | None:
        """Read the note; None if it is missing, damaged or outdated."""
        try:
            note = read_json(self._note)
            stamps = [stamp(name) for name, *_ in note["files"]]
            if note["version"] == __version__ and note["files"] == stamps:
                return ModelConfig.from_json(note["config"]), note["fingerprint"], note["weights"]
        except (ValueError, KeyError, TypeError):  # a MisoError is a ValueError
            pass
        return None

    def _from_files(self) -> tuple[ModelConfig, str, str]:
        """Open the checkpoint and write the note; a folder that can't be written to is no error."""
        opened = self.checkpoint = Checkpoint(self.path, self._progress)
        note = {
            "version": __version__,
            "files": [stamp(str(file)) for file in opened.sources],
            "config": opened.config.to_json(),
            "fingerprint": opened.fingerprint,
            "weights": opened.weights,
        }
        with contextlib.suppress(MisoError, OSError), replacing(self._note) as temporary:
            temporary.write_text(json.dumps(note), encoding="utf-8")
        return opened.config, opened.fingerprint, opened.weights
