"""The socket types, and how an error gets the name of the block it happens in."""

import functools

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


def show_on_node(text: str) -> None:
    """Show a line of text below the running block."""
    PromptServer.instance.send_progress_text(text, get_executing_context().node_id)


def name_errors(execute):
    """Prefix a ``MisoError`` with the block's display name and, if it has one, the name of the input."""

    @functools.wraps(execute)
    def wrapped(cls, *args, **kwargs):
        try:
            return execute(cls, *args, **kwargs)
        except MisoError as e:
            where = plain_name(cls.define_schema()) + (f", {e.input}" if e.input else "")
            raise MisoError(f"{where}: {e.problem}", e.remedy) from e

    return wrapped
