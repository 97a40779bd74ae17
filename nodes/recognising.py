"""Load Recogniser and Transcribe: speech to text."""

import comfy.model_management as mm
from comfy_api.latest import io

from ..miso.audio.recogniser import AUTO, LANGUAGES, load_recogniser, recogniser_bytes
from ..miso.errors import MisoError
from . import folders, sockets
from .memory import Part, on_device, progress
from .schema import CODES, LOAD, block
from .sockets import name_errors, show_on_node
from .sound import wave_of

_SHOWN = 300  # characters on the node


class LoadRecogniser(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoadRecogniser",
            display_name="Load Recogniser",
            category=LOAD,
            description="Opens a Whisper model, which writes down what is said: for Transcribe, or to choose "
            "the take with the fewest wrong words.",
            inputs=[
                io.Combo.Input(
                    "recogniser",
                    options=folders.recognisers(),
                    tooltip="A folder in models/miso_asr, models/whisper or models/faster-whisper, or a "
                    "published model. Choosing one marked 'download' downloads it when you run the graph.",
                ),
                io.Combo.Input(
                    "language",
                    options=[AUTO, *LANGUAGES],
                    default=AUTO,
                    tooltip="The language that is spoken, as a code. auto: the model finds out. Models whose "
                    "name ends in .en know English only.",
                ),
            ],
            outputs=[
                sockets.Recogniser.Output(
                    "loaded",
                    display_name="recogniser",
                    tooltip="For Transcribe, Best Take and Best of N.",
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, recogniser: str, language: str):
        folder = folders.recogniser_path(recogniser)
        part = Part(
            lambda progress, device: load_recogniser(folder, language=language, device=device),
            lambda loaded: loaded.module,
            size=lambda: recogniser_bytes(folder, mm.get_torch_device()),
        )
        return io.NodeOutput(part)

    @classmethod
    def validate_inputs(cls, recogniser: str = "", language: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True


class Transcribe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoTranscribe",
            display_name="Transcribe",
            category=CODES,
            description="Writes down what a recording says: the transcript that a voice prompt needs.",
            inputs=[
                io.Audio.Input("audio", tooltip="Speech of any length. Several channels are mixed down."),
                sockets.Recogniser.Input("recogniser", tooltip="From Load Recogniser."),
            ],
            outputs=[
                io.String.Output(
                    "transcript",
                    display_name="text",
                    tooltip="What it says: for the transcript of Encode Audio or Save Voice. Read it before "
                    "you rely on it.",
                )
            ],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(cls, audio: dict, recogniser: Part):
        wave, rate = wave_of(audio)
        (loaded,) = on_device(recogniser)
        said = [loaded.transcribe(mono, rate, progress()) for mono in wave.mean(1)]
        if not any(said):
            raise MisoError("No speech was heard in this recording: choose another.", input="audio")
        text = "\n".join(said)
        show_on_node(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
        return io.NodeOutput(text)


NODES = [LoadRecogniser, Transcribe]
