"""Align Words."""

from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.codes.subtitles import WORD_FORMATS
from ..miso.errors import MisoError
from ..miso.generation.alignment import Aligned, align, summary
from ..miso.generation.attention import pass_bytes
from ..miso.text.conditioning import TextEncoder
from . import sockets
from .memory import Part, on_device, progress, run_bytes
from .schema import EDIT, block
from .sockets import name_errors, show_on_node


class AlignWords(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoAlignWords",
            display_name="Align Words",
            category=EDIT,
            description="Finds where each word lies in codes, by the backbone's own attention to the text, "
            "and writes subtitles of them.",
            inputs=[
                sockets.Backbone.Input("backbone", tooltip="From Load Miso Model."),
                sockets.Text.Input("text_encoder", tooltip="From the same Load Miso Model."),
                sockets.Codes.Input(
                    "codes", tooltip="Codes of the model's codec: sampled, encoded, imported or loaded."
                ),
                io.Combo.Input(
                    "format",
                    options=list(WORD_FORMATS),
                    default="srt",
                    tooltip="Of the subtitles: srt, vtt with a time for every word, labels for Audacity, or "
                    "json.",
                ),
                io.String.Input(
                    "transcript",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="What the codes say, word for word. Empty: the text that they carry.",
                ),
            ],
            outputs=[
                sockets.Codes.Output(
                    "aligned", display_name="codes", tooltip="The same codes, whose words are known."
                ),
                io.String.Output(
                    "subtitles", display_name="subtitles", tooltip="The words of the first take with times."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(
        cls, backbone: Part, text_encoder: TextEncoder, codes: Codes, format: str, transcript: str = ""
    ):
        if format not in WORD_FORMATS:
            raise MisoError(f"Choose one of {', '.join(WORD_FORMATS)}.", input="format")
        config = text_encoder.config
        rows = config.positions
        memory = run_bytes(backbone, config, 1, rows) + pass_bytes(config, min(rows, 2 * codes.frames + 64))
        (model,) = on_device(backbone, memory=memory)
        aligned: Aligned = align(model, text_encoder, codes, transcript, progress())
        show_on_node(summary(aligned))
        return io.NodeOutput(aligned.codes, WORD_FORMATS[format](aligned.codes))


NODES = [AlignWords]
