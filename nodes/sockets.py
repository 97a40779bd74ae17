"""The socket types, and how errors get the name of the block they happen in."""

import functools

from comfy_api.latest import io

from ..miso.errors import MisoError

CATEGORY = "Miso"

Backbone = io.Custom("MISO_BACKBONE")  # memory.Part of a miso.model.Backbone
Depth = io.Custom("MISO_DEPTH")  # sampling.Depth
Text = io.Custom("MISO_TEXT")  # miso.conditioning.TextEncoder
Conditioning = io.Custom("MISO_CONDITIONING")  # miso.conditioning.Conditioning
Codes = io.Custom("MISO_CODES")  # miso.codes.Codes
Hidden = io.Custom("MISO_HIDDEN")  # miso.hidden.Hidden
Vocoder = io.Custom("MISO_VOCODER")  # memory.Part of a miso.vocoder.Vocoder


def name_errors(execute):
    """Put the block's display name, and the input's where one is to blame, in front of a ``MisoError``."""

    @functools.wraps(execute)
    def wrapped(cls, *args, **kwargs):
        try:
            return execute(cls, *args, **kwargs)
        except MisoError as e:
            where = cls.define_schema().display_name + (f", {e.input}" if e.input else "")
            raise MisoError(f"{where}: {e.problem}", e.remedy) from e

    return wrapped
