"""Encode Audio and Vocoder Decode: between codes and ComfyUI's AUDIO."""

from comfy_api.latest import io
from torch import Tensor

from ..miso.audio.check import as_wave, remarks
from ..miso.audio.resampling import resample
from ..miso.codes.codes import Codes
from ..miso.errors import MisoError
from ..miso.vocoders import decode_codes, encode_codes
from . import sockets
from .memory import Part, on_device, progress
from .schema import CODES, FINISH, block
from .sockets import name_errors, show_on_node
from .widgets import speaker_input


def wave_of(audio: dict, input: str = "audio") -> tuple[Tensor, int]:
    """``as_wave`` of an input, which errors name."""
    try:
        return as_wave(audio)
    except MisoError as e:
        raise MisoError(e.problem, e.remedy, input=input) from e


class EncodeAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoEncodeAudio",
            display_name="Encode Audio",
            category=CODES,
            description="Turns sound into codes: for a voice prompt, for history, or to edit and decode "
            "again.",
            inputs=[
                io.Audio.Input("audio", tooltip="Any sample rate. Several channels are mixed down to one."),
                sockets.Vocoder.Input(
                    "vocoder",
                    tooltip="A codec: nano-codec for nano, mimi for Miso 8B and CSM. nano-vocoder only "
                    "decodes.",
                ),
                io.String.Input(
                    "transcript",
                    multiline=True,
                    default="",
                    tooltip="Exactly what it says. Kept with the codes.",
                ),
                speaker_input("Number of the speaker. Kept with the codes."),
            ],
            outputs=[
                sockets.Codes.Output(
                    "codes",
                    display_name="codes",
                    tooltip="For Voice Prompt, Add Segment, the editor or Vocoder Decode.",
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, audio: dict, vocoder: Part, transcript: str, speaker: int):
        wave, rate = wave_of(audio)
        mono = wave.mean(1, keepdim=True)
        # always a line, so that one about another recording doesn't stay
        show_on_node(" ".join(remarks(mono[0, 0], rate)) or f"{mono.shape[2] / rate:.1f} s of sound")
        (codec,) = on_device(vocoder)
        wave = resample(mono, rate, codec.sample_rate)
        return io.NodeOutput(encode_codes(codec, wave, text=transcript.strip(), speaker=speaker))


class VocoderDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoVocoderDecode",
            display_name="Vocoder Decode",
            category=FINISH,
            description="Turns codes into sound. Takes of different length become a batch padded with "
            "silence; Pick Take picks one.",
            inputs=[
                sockets.Codes.Input("codes", tooltip="The codes to hear."),
                sockets.Vocoder.Input("vocoder", tooltip="A vocoder made for the codec of these codes."),
            ],
            outputs=[
                io.Audio.Output("audio", display_name="audio", tooltip="For Preview Audio and Save Audio.")
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, vocoder: Part):
        if not codes.frames:
            raise MisoError(
                "Nothing to hear, because the codes are empty: try another seed, or other codes.",
                input="codes",
            )
        (loaded,) = on_device(vocoder)
        decoded = decode_codes(loaded, codes, progress())
        return io.NodeOutput({"waveform": decoded.waveform, "sample_rate": loaded.sample_rate})


NODES = [EncodeAudio, VocoderDecode]
