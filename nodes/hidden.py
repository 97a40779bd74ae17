"""Hidden States."""

from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.generation.hidden import hidden_states, prompt_for
from ..miso.text.conditioning import Conditioning
from . import sockets
from .memory import Part, on_device, progress, run_bytes
from .schema import SPEAK, block
from .sockets import name_errors


class HiddenStates(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoHiddenStates",
            display_name="Hidden States",
            category=SPEAK,
            description="Has the backbone hear codes from anywhere, so that Depth Redecode can add codebooks "
            "they lack, or speak them in another voice.",
            inputs=[
                sockets.Backbone.Input("backbone", tooltip="From Load Miso Model."),
                sockets.Conditioning.Input(
                    "conditioning",
                    tooltip="What the codes say, from Encode Text; with Voice Prompt, in whose voice.",
                ),
                sockets.Codes.Input(
                    "codes",
                    tooltip="Codes of the model's codec: imported, encoded, edited or sampled. They may have "
                    "fewer codebooks than the model.",
                ),
            ],
            outputs=[
                sockets.Hidden.Output(
                    "hidden", display_name="hidden", tooltip="For Depth Redecode, with the same codes."
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, backbone: Part, conditioning: Conditioning, codes: Codes):
        prompt = prompt_for(conditioning, codes)
        rows = len(prompt.rows) + codes.frames
        (model,) = on_device(backbone, memory=run_bytes(backbone, conditioning.encoder.config, 1, rows))
        return io.NodeOutput(hidden_states(model, prompt, codes, progress()))


NODES = [HiddenStates]
