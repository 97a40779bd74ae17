"""Where checkpoints are, for those who give a name instead of a path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import MisoError
from ..model.config import MIMI
from .fetch import PUBLISHED

PACK = Path(__file__).parents[2]
BUNDLED = PACK / "miso" / "weights_nano"  # the embedded checkpoint and its codec


def models_folder() -> Path:
    """ComfyUI's models folder where the pack is in its custom_nodes, else the one of the demo's ComfyUI."""
    if PACK.parent.name == "custom_nodes":
        return PACK.parent.parent / "models"
    return PACK / ".miso" / "base" / "models"


def find_checkpoint(name: str, models: Path) -> Path:
    """The checkpoint of a name: a path that exists, or a known name whose file is in the models folder."""
    if (path := Path(name)).exists():
        return path
    if name == "nano":
        return BUNDLED / "nano.safetensors"
    if name in PUBLISHED:
        if (path := PUBLISHED[name].path(models)).is_file():
            return path
        raise MisoError(
            f"'{name}' ({PUBLISHED[name].size}) is not in {models}.",
            f"Get it with: python -m miso fetch {name}",
            input="checkpoint",
        )
    raise MisoError(
        f"There is no checkpoint at {name}.",
        f"Give a path, or one of: nano, {', '.join(n for n in PUBLISHED if PUBLISHED[n].tokenizer)}.",
        input="checkpoint",
    )


def find_codec(codec: str, beside: Path, models: Path) -> Path:
    """The first codec file that knows codes of the codec id ``codec``: embedded, in the folder ``beside`` what needs it, or in the models folder."""
    from ..vocoders.mimi.weights import inspect_mimi

    return _find(codec, lambda path: inspect_mimi(path).codec, beside, models)


def find_vocoder(codec: str, beside: Path, models: Path) -> Path:
    """As ``find_codec``, but a vocoder made for the codec's codes comes first: it would not be there if it didn't sound better."""
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
                continue  # something else
    hint = "Get it with: python -m miso fetch mimi" if codec == MIMI else "Name its file."
    raise MisoError(
        f"No codec file for '{codec}' is in {' or '.join(map(str, folders))}.", hint, input="vocoder"
    )
