"""Prepare Voice."""

from comfy_api.latest import io

from ..miso.audio.prepare import prepare
from .schema import CODES, block
from .sockets import name_errors, show_on_node
from .sound import wave_of


class PrepareVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoPrepareVoice",
            display_name="Prepare Voice",
            category=CODES,
            description="Makes a recording fit to be a voice: cuts off silence and what is too long, sets "
            "the loudness, takes noise away, and says what it did.",
            inputs=[
                io.Audio.Input("audio", tooltip="Your recording. Several channels are mixed down to one."),
                io.Float.Input(
                    "seconds",
                    default=12.0,
                    min=0.0,
                    max=120.0,
                    step=0.5,
                    tooltip="Longest it may be: what is longer is cut in a pause. 5 to 15 is best; 0 keeps "
                    "all.",
                ),
                io.Float.Input(
                    "lufs",
                    default=-20.0,
                    min=-70.0,
                    max=0.0,
                    step=0.5,
                    tooltip="Loudness to reach. The model speaks about as loud as its prompt. 0 changes "
                    "nothing.",
                ),
                io.Float.Input(
                    "denoise",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the noise to take away; 0 takes none, 0.8 is much. Needs the Python "
                    "package noisereduce.",
                ),
                io.Boolean.Input("trim", default=True, tooltip="Cut silence off both ends."),
            ],
            outputs=[
                io.Audio.Output(
                    "prepared", display_name="audio", tooltip="For Encode Audio, and for Transcribe."
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="What was done, and what is still wrong."
                ),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, audio: dict, seconds: float, lufs: float, denoise: float, trim: bool):
        waves, rate = wave_of(audio)
        prepared = prepare(waves[0].mean(0), rate, seconds=seconds, lufs=lufs, denoise=denoise, trim=trim)
        done = list(prepared.done)
        if len(waves) > 1:
            done.append(f"The first of {len(waves)} sounds was taken.")
        report = " ".join(done)
        show_on_node(report)
        return io.NodeOutput({"waveform": prepared.wave[None, None], "sample_rate": rate}, report)


NODES = [PrepareVoice]
