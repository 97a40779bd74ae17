"""The socket types, and how an error gets the name of the block it happens in."""

import functools
import gc

import comfy.model_management as mm
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..miso.errors import MisoError
from .schema import plain_name

Backbone = io.Custom("MISO_BACKBONE")  # nodes.memory.Part of a miso.model.Backbone
Depth = io.Custom("MISO_DEPTH")  # nodes.depth.Depth
Text = io.Custom("MISO_TEXT")  # miso.text.TextEncoder
Conditioning = io.Custom("MISO_CONDITIONING")  # miso.text.Conditioning
Codes = io.Custom("MISO_CODES")  # miso.codes.Codes
Hidden = io.Custom("MISO_HIDDEN")  # miso.codes.Hidden
Vocoder = io.Custom("MISO_VOCODER")  # nodes.memory.Part of a miso.vocoders.Vocoder
Recogniser = io.Custom("MISO_RECOGNISER")  # nodes.memory.Part of a miso.audio.recogniser.Recogniser
Voices = io.Custom("MISO_VOICES")  # a sequence of miso.text.voice.Voice
Conversation = io.Custom("MISO_CONVERSATION")  # miso.text.conversation.Conversation


def show_on_node(text: str, error: bool = False) -> None:
    """Show a line of text below the running block, in the place of the one before.

    The page keeps it, an error until the next run: newer ones drop ComfyUI's own line of text when a run
    ends.
    """
    server = PromptServer.instance
    line = {"node": get_executing_context().node_id, "text": text, "error": error}
    server.send_sync("miso.line", line, server.client_id)


# what a workflow's JSON can hold for a widget, by the widget's type
_WIDGETS: dict[str, type | tuple[type, ...]] = {
    "STRING": str,
    "COMBO": str,
    "INT": int,
    "FLOAT": (int, float),
    "BOOLEAN": bool,
    # our own
    "MISO_EDITS": str,
    "MISO_TAKES": (str, int),
    "MISO_TURNS": str,
}


def _check_values(cls, values: dict) -> None:
    """Raise MisoError for a widget's value of another type, and a value in the place of a link.

    ComfyUI lets both pass in workflows that weren't made on its canvas.
    """
    schema = getattr(cls, "SCHEMA", None)
    for input in schema.inputs if schema else ():
        if input.id not in values or (value := values[input.id]) is None and input.optional:
            continue
        kind = input.get_io_type()
        if kind in _WIDGETS:
            if not isinstance(value, _WIDGETS[kind]):
                what = "missing" if value is None else f"of the type {type(value).__name__}"
                raise MisoError(f"The value is {what}.", "Choose or write another.", input.id)
        elif kind.startswith("MISO_") and isinstance(value, (str, int, float, list, dict)):
            raise MisoError(f"Connect {input.display_name or input.id}: there is no link.", input=input.id)


def name_errors(execute):
    """Prefix a ``MisoError`` with the block's display name and, if it has one, the name of the input.

    It is shown on the node too, because newer pages hide it behind "View details". A block that runs out of
    GPU memory is run once more, with nothing else in it.
    """

    def run(cls, *args, **kwargs):
        try:
            return execute(cls, *args, **kwargs)
        except mm.OOM_EXCEPTION:
            pass  # what it held is freed when this block of code ends
        show_on_node("The GPU's memory ran out: trying again with all other models unloaded.")
        gc.collect()
        mm.unload_all_models()
        mm.soft_empty_cache()
        try:
            return execute(cls, *args, **kwargs)
        except mm.OOM_EXCEPTION as e:
            raise MisoError(
                "The GPU's memory ran out, even with all other models unloaded.",
                "Use fewer takes, less max_seconds or a shorter prompt, or int4 in Load Miso Model.",
            ) from e

    @functools.wraps(execute)
    def wrapped(cls, *args, **kwargs):
        try:
            _check_values(cls, kwargs)
            return run(cls, *args, **kwargs)
        except MisoError as e:
            where = plain_name(cls.define_schema()) + (f", {e.input}" if e.input else "")
            show_on_node(f"{e.input}: {e}" if e.input else str(e), error=True)
            raise MisoError(f"{where}: {e.problem}", e.remedy) from e

    return wrapped
