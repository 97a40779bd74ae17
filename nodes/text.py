"""Normalize Text: what is written as it is said, before any model reads it."""

from comfy_api.latest import io

from ..miso.text.normalization.languages import LANGUAGES
from ..miso.text.normalize import normalize, refuse_silence
from ..miso.text.pronunciations import Pronunciations
from .schema import SPEAK, block
from .sockets import name_errors, show_on_node

_SHOWN = 300  # characters on the node


class NormalizeText(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoNormalizeText",
            display_name="Normalize Text",
            category=SPEAK,
            description="Writes numbers, times, dates, units, signs and abbreviations as words. nano does so "
            "by itself; Miso 8B and CSM read the text as it is.",
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    default="It is 10:30 and 20°C. Dr. Smith paid $5.99.",
                    tooltip="The text as it is written.",
                ),
                io.Combo.Input(
                    "language",
                    options=list(LANGUAGES),
                    default="en",
                    tooltip="The language of the words that numbers and signs become.",
                ),
                io.String.Input(
                    "pronunciations",
                    multiline=True,
                    default="",
                    tooltip="How words are said, one a line: Siobhan = shivawn. For nano also phonemes: "
                    "Siobhan = /ʃɪvˈɔn/.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "spoken", display_name="text", tooltip="The text in words: for Encode Text."
                ),
                io.String.Output(
                    "left_out",
                    display_name="left_out",
                    tooltip="What can't be said, such as emoji and other scripts. Empty if nothing was.",
                ),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, text: str, language: str, pronunciations: str):
        spoken = normalize(Pronunciations.parse(pronunciations).apply(text), language)
        refuse_silence(text, spoken)
        left_out = ", ".join(spoken.left_out)
        shown = spoken.text if len(spoken.text) <= _SHOWN else f"{spoken.text[:_SHOWN]}..."
        show_on_node(f"Left out: {left_out}\n{shown}" if left_out else shown)
        return io.NodeOutput(spoken.text, left_out)


NODES = [NormalizeText]
