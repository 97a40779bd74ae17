"""Dialogue, Long Text and Speaker Tracks: much speech from one block."""

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.codes.subtitles import subtitles
from ..miso.codes.tracks import speaker_tracks
from ..miso.errors import MisoError
from ..miso.text.chunks import fit_turns, text_turns
from ..miso.text.conditioning import TextEncoder
from ..miso.text.conversation import Conversation
from ..miso.text.script import speaker_names
from ..miso.text.voice import Voice, cast_script, doubtful_names
from ..miso.vocoders import decode_codes
from . import sockets, turns
from .memory import Part, on_device, progress
from .schema import FINISH, SPEAK, block
from .sockets import name_errors
from .stops import stops
from .widgets import speaker_input

SCRIPT = """Anna: Good morning. Did you sleep well?
Ben: Like a stone. [pause 0.5] And you?
Anna: I was awake before the sun came up."""
TEXT = """The river begins as a spring under a stone. It is so small that a child can step over it.

Further down it turns a mill, and the mill feeds a village. Nobody there remembers a year without it."""


class Dialogue(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoDialogue",
            display_name="Dialogue",
            category=SPEAK,
            # two equal nodes would otherwise share one result, and the second would show nothing
            not_idempotent=True,
            has_intermediate_output=True,
            description="Speaks a script turn by turn: each turn hears the ones before it. After a change, "
            "only what must be is said anew.",
            inputs=[
                *turns.model_inputs(),
                io.String.Input(
                    "script",
                    multiline=True,
                    default=SCRIPT,
                    tooltip="A line for each turn: 'Name: text', '[Name] text' or '[0] text'. '[pause 0.5]' "
                    "is silence, '#' begins a comment.",
                ),
                *turns.sampler_inputs("a turn"),
                *turns.optional_inputs(
                    "From Load Voice or Save Voice. A voice speaks the lines of its name; other names get "
                    "the voices left over, in order."
                ),
            ],
            outputs=turns.outputs("dialogue"),
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        text_encoder: TextEncoder,
        script: str,
        voices: Sequence[Voice] = (),
        conversation: Conversation | None = None,
        **settings: Any,  # of turns.run
    ):
        config = text_encoder.config
        before = {} if conversation is None else dict(conversation.names)
        written, speaking = cast_script(script, voices, before, config.speakers)
        loop, shown = turns.run(
            fit_turns(written, config.line_seconds, config.joined_seconds),
            turns.history_of(speaking, conversation),
            text_encoder=text_encoder,
            **settings,
        )
        names = speaker_names(written)
        known = [*(voice.name for voice in voices), *before, *config.speakers]
        doubts = doubtful_names(names, speaking, known)
        turns.show(loop, "turn", turns.who_speaks(names, speaking), *doubts)
        return io.NodeOutput(
            loop.codes,
            Conversation(loop.segments, before | names),
            subtitles(loop.codes, {number: name for name, number in (before | names).items()}),
            ui={**turns.describe(loop), **shown},
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return stops()


class LongText(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLongText",
            display_name="Long Text",
            category=SPEAK,
            not_idempotent=True,
            has_intermediate_output=True,
            description="Speaks a text of any length: cut into parts that the model can say, each going on "
            "from the one before. A stopped run goes on where it was.",
            inputs=[
                *turns.model_inputs(),
                io.String.Input(
                    "text",
                    multiline=True,
                    default=TEXT,
                    tooltip="What to say. Blank lines separate paragraphs; without any, every line is one.",
                ),
                speaker_input("Number of the speaker. A connected voice has its own."),
                io.Float.Input(
                    "pauses",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Silence after sentences and paragraphs: 1 is usual, 2 twice as long, 0 none.",
                ),
                *turns.sampler_inputs("a part"),
                *turns.optional_inputs(
                    "The voice to speak in, from Load Voice or Save Voice: the first one."
                ),
            ],
            outputs=turns.outputs("speech"),
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        text_encoder: TextEncoder,
        text: str,
        speaker: int,
        pauses: float,
        voices: Sequence[Voice] = (),
        conversation: Conversation | None = None,
        **settings: Any,  # of turns.run
    ):
        config, voice = text_encoder.config, voices[0] if voices else None
        number = speaker if voice is None else voice.speaker
        parts = text_turns(text, config.line_seconds, config.joined_seconds, number, pauses)
        if not parts:
            raise MisoError("Write what is to be said: the text is empty.", input="text")
        loop, shown = turns.run(
            parts,
            turns.history_of(voices[:1], conversation),
            text_encoder=text_encoder,
            **settings,
        )
        turns.show(loop, "part")
        names = {} if conversation is None else conversation.names
        return io.NodeOutput(
            loop.codes,
            Conversation(loop.segments, names),
            subtitles(loop.codes),
            ui={**turns.describe(loop), **shown},
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return stops()


class SpeakerTracks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoSpeakerTracks",
            display_name="Speaker Tracks",
            category=FINISH,
            description="Turns a dialogue into one sound for each speaker, all of the same length: silent "
            "while others speak. Together they are the whole.",
            inputs=[
                sockets.Codes.Input("codes", tooltip="One take whose turns are known: from Dialogue."),
                sockets.Vocoder.Input("vocoder", tooltip="A vocoder made for the codec of these codes."),
            ],
            outputs=[
                io.Audio.Output(
                    "tracks",
                    display_name="audio",
                    is_output_list=True,
                    tooltip="A list of sounds, one a speaker, in the order in which they first speak. Save "
                    "Audio saves each.",
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, vocoder: Part):
        (loaded,) = on_device(vocoder)
        shares = speaker_tracks(codes, loaded.frame_size, loaded.sample_rate)  # fails before it is decoded
        wave = decode_codes(loaded, codes, progress()).waveform
        rate = loaded.sample_rate
        return io.NodeOutput([{"waveform": wave * share, "sample_rate": rate} for share in shares.values()])


NODES = [Dialogue, LongText, SpeakerTracks]
