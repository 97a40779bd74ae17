"""The store of codes in ComfyUI's user folder, and Kept Codes."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..miso.codes.store import FOLDER, Kept, Store
from ..miso.errors import MisoError
from . import sockets
from .memory import Part
from .preview import send_kept
from .sockets import CATEGORY, name_errors

NOTHING = "(nothing is kept yet)"
MOST = 200  # choices, those used last


def store() -> Store:
    """The store that samplers keep their codes in."""
    return Store(Path(folder_paths.get_user_directory()) / FOLDER)


def known_checkpoints() -> Path:
    """Where what is known of checkpoints is noted."""
    return store().folder / "checkpoints"


class KeptCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoStoredCodes",
            display_name="Kept Codes",
            category=CATEGORY,
            not_idempotent=True,  # two alike would share one result, and the second show nothing
            description="Codes that were sampled before, restarts included: the last used first. `python -m miso cache` looks after them.",
            inputs=[
                io.Combo.Input(
                    "kept",
                    options=[_name(kept) for kept in store().list()[:MOST]] or [NOTHING],
                    tooltip="Words, length, seed and key. Refresh the page's node definitions (R) to see new ones.",
                ),
                sockets.Vocoder.Input(
                    "preview",
                    optional=True,
                    tooltip="To see the first take when this runs, and to hear it with the sound on.",
                ),
            ],
            outputs=[
                sockets.Codes.Output("codes", display_name="codes"),
                sockets.Hidden.Output(
                    "hidden",
                    display_name="hidden",
                    tooltip="For Depth Redecode, which is skipped where none were kept.",
                ),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, kept: str, preview: Part | None = None):
        short = kept.split()[-1] if kept.strip() else ""
        entry = next((e for e in store().list() if len(short) == 12 and e.key.startswith(short)), None)
        if entry is None or (found := store().get(entry.key)) is None:
            raise MisoError(
                f"'{kept}' is not kept any more.", "Choose another, or sample it again.", input="kept"
            )
        codes, hidden = found
        send_kept(codes, 0, codes.frames, preview)
        return io.NodeOutput(codes, ExecutionBlocker(None) if hidden is None else hidden)


def _name(kept: Kept) -> str:
    """A choice: it stays the same as long as the entry is kept, and ends with the beginning of its key."""
    text = " ".join(kept.text.split())
    takes = f"{len(kept.seeds)} takes, " if len(kept.seeds) > 1 else ""
    return f"{text[:48]}{'…' if len(text) > 48 else ''} | {kept.seconds:.1f} s, {takes}seed {kept.seeds[0]} | {kept.key[:12]}"


NODES = [KeptCodes]
