"""Take Picker: takes as rows to hear and choose from; the choice is a widget, so that it is saved with the workflow.

The widget ``chosen`` (type ``MISO_TAKES``) holds numbers of takes, "0" or "0,2". What the browser shows comes with the ``executed``
event, as ``output.miso_takes``: for each take of the input ``{take, frames, seconds, seed, stop, log_probability, sound}``:
``log_probability`` the mean that the model gave its frames, or null; ``sound`` a file for ``/view``, or null without a vocoder.
"""

from comfy_api.latest import io

from ..miso.codes.codes import Codes, as_takes
from ..miso.errors import MisoError
from . import sockets
from .listen import sound_file
from .memory import Part
from .sockets import CATEGORY, name_errors

Takes = io.Custom("MISO_TAKES")  # a widget


class TakePicker(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoTakePicker",
            display_name="Take Picker",
            category=CATEGORY,
            description="Hear takes and choose one or several. Choosing again runs only what follows.",
            inputs=[
                sockets.Codes.Input("codes"),
                Takes.Input(
                    "chosen",
                    optional=True,
                    extra_dict={"default": "0"},
                    tooltip="Numbers of the takes that go on, with commas between.",
                ),
                sockets.Vocoder.Input("vocoder", optional=True, tooltip="To see and hear the takes."),
            ],
            outputs=[sockets.Codes.Output("picked", display_name="codes")],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, chosen: str = "0", vocoder: Part | None = None):
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
        return io.NodeOutput(
            as_takes([codes.take(i) for i in _numbers(chosen, codes.batch)]), ui={"miso_takes": shown}
        )


def _numbers(chosen: str, takes: int) -> list[int]:
    try:
        numbers = [int(part) for part in str(chosen).split(",")]
    except ValueError:
        raise MisoError(
            f"'{chosen}' are no numbers of takes.", "Choose at least one take.", input="chosen"
        ) from None
    if missing := [n for n in numbers if not 0 <= n < takes]:
        raise MisoError(
            f"There is no take {missing[0]}: these codes hold {takes} (0 to {takes - 1}).",
            "Choose again.",
            input="chosen",
        )
    return numbers


NODES = [TakePicker]
