"""Take Picker: hear takes in rows and choose. The choice is a widget, so that it is saved with the workflow.

The widget ``chosen`` (type ``MISO_TAKES``) holds take numbers from 0, such as "0" or "0,2". The ``executed``
event carries what the page shows as ``output.miso_takes``, one object for each take of the input: ``{take,
frames, seconds, seed, stop, log_probability, sound}``. ``log_probability`` is the model's mean over the
take's frames, or null; ``sound`` is a file for ``/view``, or null without a vocoder.
"""

from comfy_api.latest import io

from ..miso.codes.codes import Codes, as_takes, no_take
from ..miso.codes.hidden import Hidden
from ..miso.errors import MisoError
from ..miso.limits import MAX_TAKES
from . import sockets
from .listen import sound_file
from .memory import Part
from .parts import hidden_input, hidden_output, pick_hidden
from .schema import EDIT, block
from .sockets import name_errors

Takes = io.Custom("MISO_TAKES")  # a widget


class TakePicker(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoTakePicker",
            display_name="Take Picker",
            category=EDIT,
            description="Hear several takes and choose one or more. Choosing again runs only the blocks "
            "after this one.",
            inputs=[
                sockets.Codes.Input(
                    "codes", tooltip="Several takes, from Backbone Sampler with takes above 1."
                ),
                Takes.Input(
                    "chosen",
                    optional=True,
                    extra_dict={"default": "0"},
                    tooltip="The chosen takes. Saved as numbers from 0, separated by commas.",
                ),
                sockets.Vocoder.Input(
                    "vocoder", optional=True, tooltip="A vocoder, to see and hear the takes."
                ),
                hidden_input(),
            ],
            outputs=[
                sockets.Codes.Output("picked", display_name="codes", tooltip="The chosen takes."),
                hidden_output(),
            ],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        codes: Codes,
        chosen: str = "0",
        vocoder: Part | None = None,
        hidden: Hidden | None = None,
    ):
        shown = [
            {
                "take": i,
                "frames": int(codes.lengths[i]),
                "seconds": codes.seconds[i],
                "seed": take.seed,
                "stop": take.stop,
                "log_probability": take.log_probability,
                "sound": sound_file(codes.take(i), vocoder) if vocoder and codes.lengths[i] else None,
            }
            for i, take in enumerate(codes.takes)
        ]
        numbers = _numbers(chosen, codes.batch)
        picked = as_takes([codes.take(i) for i in numbers])
        return io.NodeOutput(picked, pick_hidden(hidden, codes, numbers), ui={"miso_takes": shown})


def _numbers(chosen: str, takes: int) -> list[int]:
    """Take numbers from the widget's text, all of them below ``takes``."""
    try:
        parts = str(chosen).split(",", MAX_TAKES)
        numbers = [int(part) for part in parts[:MAX_TAKES]]
    except ValueError:
        raise MisoError(
            f"'{chosen}' is not a list of take numbers.", "Click at least one take.", input="chosen"
        ) from None
    if len(parts) > MAX_TAKES:
        raise MisoError(f"Choose at most {MAX_TAKES} takes.", input="chosen")
    if missing := [n for n in numbers if not 0 <= n < takes]:
        raise no_take(missing[0], takes, input="chosen")
    return numbers


NODES = [TakePicker]
