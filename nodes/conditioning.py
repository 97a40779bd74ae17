"""Encode Text, Voice Prompt and Add Segment: what is to be said, in whose voice, after what."""

from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.errors import MisoError
from ..miso.model.config import PRESETS
from ..miso.text.conditioning import Conditioning, Segment, TextEncoder, text_said
from ..miso.text.length import expected_seconds
from . import sockets
from .memory import progress
from .schema import SPEAK, block
from .sockets import name_errors, show_on_node
from .widgets import speaker_input

BY_NUMBER = "by number"


class EncodeText(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoEncodeText",
            display_name="Encode Text",
            category=SPEAK,
            description="The line to speak. To continue a conversation, connect the previous line's "
            "conditioning and the codes it became.",
            inputs=[
                sockets.Text.Input("text_encoder", tooltip="From Load Miso Model."),
                io.String.Input(
                    "text", multiline=True, default="Hello there. I speak in codes.", tooltip="What to say."
                ),
                speaker_input("Number of the speaker. Keep the same number for the same voice."),
                sockets.Conditioning.Input(
                    "history",
                    optional=True,
                    tooltip="The previous line's conditioning: what was said before.",
                ),
                sockets.Codes.Input(
                    "history_codes",
                    optional=True,
                    tooltip="The codes that the previous line became: one take.",
                ),
                io.Combo.Input(
                    "voice",
                    options=[BY_NUMBER, *PRESETS["nano"].voices],
                    default=BY_NUMBER,
                    optional=True,
                    tooltip="A voice that nano was taught, by name, in place of the speaker number. History "
                    "keeps its speakers. A Voice Prompt is this line's only with the number of this voice, "
                    "which the block shows.",
                ),
            ],
            outputs=[
                sockets.Conditioning.Output(
                    "conditioning", display_name="conditioning", tooltip="For Backbone Sampler."
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        text_encoder: TextEncoder,
        text: str,
        speaker: int,
        history: Conditioning | None = None,
        history_codes: Codes | None = None,
        voice: str = BY_NUMBER,
    ):
        if history_codes is not None and history is None:
            raise MisoError(
                "Connect history too: the conditioning that history_codes were sampled from.",
                input="history",
            )
        segments = () if history is None else history.as_history(history_codes)
        remarks = []
        if voice and voice != BY_NUMBER:
            speaker = text_encoder.config.speaker(voice)
            remarks.append(f"{voice} is speaker {speaker}.")
        if history_codes is not None and not history_codes.takes[0].exact:
            remarks.append(
                "history_codes were edited, so the text of history may not be what they say. If so, use Add "
                "Segment with a transcript instead."
            )
        conditioning = text_encoder.conditioning([*segments, Segment(text, speaker)])
        # fails here, so that bad text is this block's error
        text_encoder.rows(conditioning.line, progress())
        said = text_encoder.read(text)
        if said.left_out:
            remarks.append(f"Left out: {', '.join(said.left_out)}.")
        taught, seconds = text_encoder.config.taught_seconds, expected_seconds(said.text)
        if taught and seconds > taught:
            remarks.append(
                f"Too long for one line of this checkpoint: about {seconds:.0f} s, it was taught up to "
                f"{taught:g} s and may leave words out. Use Long Text."
            )
        if remarks:
            show_on_node(" ".join(remarks))
        return io.NodeOutput(conditioning)


def _add(conditioning: Conditioning, codes: Codes, transcript: str, speaker: int, voice: bool):
    """The conditioning with one more segment; without a transcript, with the text that the codes carry."""
    segment = Segment(text_said(codes, transcript), speaker, codes, voice)
    try:
        return io.NodeOutput(conditioning.with_segment(segment))
    except MisoError as e:
        raise MisoError(e.problem, e.remedy, "transcript" if e.input == "text" else e.input) from e


def _inputs(speaker: str) -> list:
    return [
        sockets.Conditioning.Input("conditioning", tooltip="From Encode Text."),
        sockets.Codes.Input(
            "codes", tooltip="One take of the model's codec: from Encode Audio, Load Codes or a sampler."
        ),
        io.String.Input(
            "transcript",
            multiline=True,
            default="",
            tooltip="Exactly what the codes say. Leave it empty if they were sampled here or encoded with a "
            "transcript, and not cut since.",
        ),
        speaker_input(speaker),
    ]


def _output() -> list:
    return [
        sockets.Conditioning.Output(
            "conditioned",
            display_name="conditioning",
            tooltip="For Backbone Sampler, or for another segment.",
        )
    ]


class VoicePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoVoicePrompt",
            display_name="Voice Prompt",
            category=SPEAK,
            description="Clones this voice. Use the same speaker number as Encode Text.",
            inputs=_inputs("The same number as in Encode Text: that line gets this voice."),
            outputs=_output(),
        )

    @classmethod
    @name_errors
    def execute(cls, conditioning: Conditioning, codes: Codes, transcript: str, speaker: int):
        return _add(conditioning, codes, transcript, speaker, voice=True)


class AddSegment(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoAddSegment",
            display_name="Add Segment",
            category=SPEAK,
            description="Adds what was said just before the line. If the prompt gets too long, the oldest "
            "segment is dropped first.",
            inputs=_inputs("Number of the speaker who says this."),
            outputs=_output(),
        )

    @classmethod
    @name_errors
    def execute(cls, conditioning: Conditioning, codes: Codes, transcript: str, speaker: int):
        return _add(conditioning, codes, transcript, speaker, voice=False)


NODES = [EncodeText, VoicePrompt, AddSegment]
