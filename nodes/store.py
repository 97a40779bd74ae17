"""Kept Codes, and the store of codes in ComfyUI's user folder that samplers use."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..miso.codes.store import FOLDER, Kept, Store
from ..miso.errors import MisoError
from . import sockets
from .labels import label
from .memory import Part
from .preview import send_kept
from .schema import CODES, block
from .sockets import name_errors

NOTHING = "(nothing is kept yet)"
MOST = 200  # choices: the entries used last
KEY_DIGITS = 12  # of an entry's key, at the end of its choice


def store() -> Store:
    """The store that samplers keep their codes in."""
    return Store(Path(folder_paths.get_user_directory()) / FOLDER)


def checkpoint_notes() -> Path:
    """The folder of notes on checkpoints that were opened before (see ``CheckpointSummary``)."""
    return store().folder / "checkpoints"


class KeptCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoStoredCodes",
            display_name="Kept Codes",
            category=CODES,
            # two equal nodes would otherwise share one result, and the second would show nothing
            not_idempotent=True,
            has_intermediate_output=True,
            description="Codes that Backbone Sampler made before, even before a restart; the last used come "
            "first.",
            inputs=[
                io.Combo.Input(
                    "kept",
                    options=[_name(kept) for kept in store().list()[:MOST]] or [NOTHING],
                    tooltip="Words, length, seed and key. Press R to see new ones.",
                ),
                sockets.Vocoder.Input(
                    "preview",
                    optional=True,
                    tooltip="A vocoder: shows the first take when this runs, and plays it with Sound on.",
                ),
            ],
            outputs=[
                sockets.Codes.Output("codes", display_name="codes", tooltip="The kept codes."),
                sockets.Hidden.Output(
                    "hidden",
                    display_name="hidden",
                    tooltip="For Depth Redecode, which is skipped if no hidden states were kept.",
                ),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, kept: str, preview: Part | None = None):
        digits = kept.split()[-1] if kept.strip() else ""
        entry = next(
            (e for e in store().list() if len(digits) == KEY_DIGITS and e.key.startswith(digits)), None
        )
        if entry is None or (found := store().get(entry.key)) is None:
            raise MisoError(f"Choose another, or sample it again: '{kept}' is no longer kept.", input="kept")
        codes, hidden = found
        shown = send_kept(codes, 0, codes.frames, preview)
        return io.NodeOutput(codes, ExecutionBlocker(None) if hidden is None else hidden, ui=shown or None)

    @classmethod
    def validate_inputs(cls, kept: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True


def _name(kept: Kept) -> str:
    """The choice for an entry.

    It stays the same as long as the entry is kept, and ends with the beginning of its key.
    """
    text = label(" ".join(kept.text.split()))
    takes = f"{len(kept.seeds)} takes, " if len(kept.seeds) > 1 else ""
    shortened = f"{text[:48]}{'…' if len(text) > 48 else ''}"
    return f"{shortened} | {kept.seconds:.1f} s, {takes}seed {kept.seeds[0]} | {kept.key[:KEY_DIGITS]}"


NODES = [KeptCodes]
