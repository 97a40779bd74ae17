"""Encode Audio and Vocoder Decode: between codes and ComfyUI's AUDIO."""

from comfy_api.latest import io

from ..miso.audio.resampling import resample
from ..miso.codes.codes import Codes
from ..miso.errors import MisoError
from ..miso.vocoders import decode_codes
from ..miso.vocoders.encode import encode_codes
from . import sockets
from .memory import Part, on_device, progress
from .sockets import CATEGORY, name_errors


class EncodeAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoEncodeAudio",
            display_name="Encode Audio",
            category=CATEGORY,
            description="Sound to codes, for voice prompts, history, or to edit and decode again. Several channels are mixed down.",
            inputs=[
                io.Audio.Input("audio"),
                sockets.Vocoder.Input("vocoder", tooltip="One that also encodes, such as Mimi."),
                io.String.Input(
                    "transcript", multiline=True, default="", tooltip="What it says, kept with the codes."
                ),
                io.Int.Input(
                    "speaker", default=0, min=0, max=255, tooltip="Who says it, kept with the codes."
                ),
            ],
            outputs=[sockets.Codes.Output("codes", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, audio: dict, vocoder: Part, transcript: str, speaker: int):
        (loaded,) = on_device(vocoder)
        wave = resample(
            audio["waveform"].float().mean(1, keepdim=True), audio["sample_rate"], loaded.sample_rate
        )
        return io.NodeOutput(encode_codes(loaded, wave, text=transcript.strip(), speaker=speaker))


class VocoderDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoVocoderDecode",
            display_name="Vocoder Decode",
            category=CATEGORY,
            description="Codes to sound. Takes of different length become a batch padded with silence; Pick Take gives one.",
            inputs=[sockets.Codes.Input("codes"), sockets.Vocoder.Input("vocoder")],
            outputs=[io.Audio.Output("audio", display_name="audio")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, vocoder: Part):
        if not codes.frames:
            raise MisoError(
                "There is nothing to hear: the codes have no frames.",
                "If they were sampled, try another seed.",
                input="codes",
            )
        (loaded,) = on_device(vocoder)
        return io.NodeOutput(
            {"waveform": decode_codes(loaded, codes, progress()).waveform, "sample_rate": loaded.sample_rate}
        )


NODES = [EncodeAudio, VocoderDecode]
