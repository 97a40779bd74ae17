"""Checkpoints that were opened before: what they are is noted, so that a run whose codes were kept opens none of their files."""

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
from ..files import replacing
from ..model.config import ModelConfig
from ..text.conditioning import TextEncoder
from ..text.tokenizer import find_tokenizer
from .checkpoint import Checkpoint


class CheckpointSummary:
    """What a checkpoint is (a file or an index of shards); ``checkpoint``, to load its weights, is opened when it is first wanted.

    It comes from the note in ``folder``, as long as all the files have the sizes and times of change that were noted; else from the files.
    Each checkpoint has a note of its own, so that several servers may share the folder.
    """

    def __init__(self, path: str | Path, folder: str | Path):
        self.path = Path(path).absolute()
        self._note = Path(folder) / f"{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:32]}.json"
        self.config, self.fingerprint, self.weights = self._read() or self._look()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        opened = Checkpoint(self.path)
        if opened.fingerprint != self.fingerprint:  # what it samples would be kept as another's
            self._note.unlink(missing_ok=True)
            raise MisoError(
                f"{self.path.name} has become another checkpoint since it was last looked at.",
                "Restart ComfyUI and run again.",
            )
        return opened

    def text_encoder(self, tokenizers: Iterable[str | Path] = ()) -> TextEncoder:
        return TextEncoder(
            self.config, find_tokenizer(self.config.conventions.tokenizer, self.path.parent, tokenizers)
        )

    def _read(self) -> tuple[ModelConfig, str, str] | None:
        """From the note; None if there is none that holds."""
        try:
            known = json.loads(self._note.read_text(encoding="utf-8"))
            if known["version"] == __version__ and known["files"] == [
                _stamp(name) for name, *_ in known["files"]
            ]:
                return ModelConfig.from_json(known["config"]), known["fingerprint"], known["weights"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def _look(self) -> tuple[ModelConfig, str, str]:
        """From the files, and note it; a folder that can't be written to costs the next look, no more."""
        opened = self.checkpoint = Checkpoint(self.path)
        known = {
            "version": __version__,
            "files": [_stamp(str(file)) for file in opened.sources],
            "config": opened.config.to_json(),
            "fingerprint": opened.fingerprint,
            "weights": opened.weights,
        }
        with contextlib.suppress(MisoError, OSError), replacing(self._note) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")
        return opened.config, opened.fingerprint, opened.weights


def _stamp(name: str) -> list:
    """A file's name, size and times of change (the second also tells a file that was put in its place with the first kept); or the name alone."""
    try:
        stat = os.stat(name)
    except OSError:
        return [name]
    return [name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
