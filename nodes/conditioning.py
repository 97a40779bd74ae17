"""Encode Text, Voice Prompt and Add Segment: what is to be said, in whose voice, after what."""

from comfy_api.latest import io

from ..miso.errors import MisoError
from ..miso.text.conditioning import Segment
from . import sockets
from .sockets import CATEGORY, name_errors


class EncodeText(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoEncodeText",
            display_name="Encode Text",
            category=CATEGORY,
            description="The line to speak. To go on with a conversation, connect what conditioned the line before and the codes it became.",
            inputs=[
                sockets.Text.Input("text_encoder"),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="Hello there. I speak in codes.",
                    tooltip="What is to be said.",
                ),
                io.Int.Input(
                    "speaker",
                    default=0,
                    min=0,
                    max=255,
                    tooltip="Number of the speaker: keep it through a conversation.",
                ),
                sockets.Conditioning.Input(
                    "history",
                    optional=True,
                    tooltip="Conditioning of the line before: its segments come first.",
                ),
                sockets.Codes.Input(
                    "history_codes", optional=True, tooltip="What the line before became: one take."
                ),
            ],
            outputs=[sockets.Conditioning.Output("conditioning", display_name="conditioning")],
        )

    @classmethod
    @name_errors
    def execute(cls, text_encoder, text: str, speaker: int, history=None, history_codes=None):
        if history_codes is not None and history is None:
            raise MisoError(
                "history_codes needs the history it answers.",
                "Connect the conditioning those codes were sampled from.",
                input="history",
            )
        segments = () if history is None else history.said(history_codes)
        conditioning = text_encoder.conditioning([*segments, Segment(text, speaker)])
        text_encoder.rows(conditioning.line)  # bad text is this block's error, not the sampler's
        return io.NodeOutput(conditioning)


def _with(conditioning, codes, transcript: str, speaker: int, voice: bool):
    text = transcript.strip() or " ".join(span.text for span in codes.takes[0].spans)
    if not text.strip():
        raise MisoError(
            "What the codes say is not known.", "Write it into transcript, word for word.", input="transcript"
        )
    return io.NodeOutput(conditioning.with_segment(Segment(text, speaker, codes, voice)))


_INPUTS = [
    sockets.Conditioning.Input("conditioning"),
    sockets.Codes.Input("codes", tooltip="One take, of the model's codec."),
    io.String.Input(
        "transcript",
        multiline=True,
        default="",
        tooltip="What the codes say, word for word. Empty: what the codes know themselves.",
    ),
    io.Int.Input("speaker", default=0, min=0, max=255, tooltip="The speaker these words are of."),
]


class VoicePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoVoicePrompt",
            display_name="Voice Prompt",
            category=CATEGORY,
            description="Speech whose voice the line is to have. It stays whatever the room; with the same speaker as the line.",
            inputs=list(_INPUTS),
            outputs=[sockets.Conditioning.Output("conditioned", display_name="conditioning")],
        )

    @classmethod
    @name_errors
    def execute(cls, conditioning, codes, transcript: str, speaker: int):
        return _with(conditioning, codes, transcript, speaker, voice=True)


class AddSegment(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoAddSegment",
            display_name="Add Segment",
            category=CATEGORY,
            description="Something said just before the line. Where there is no room for all, the oldest goes first.",
            inputs=list(_INPUTS),
            outputs=[sockets.Conditioning.Output("conditioned", display_name="conditioning")],
        )

    @classmethod
    @name_errors
    def execute(cls, conditioning, codes, transcript: str, speaker: int):
        return _with(conditioning, codes, transcript, speaker, voice=False)


NODES = [EncodeText, VoicePrompt, AddSegment]
