"""Loudness and Trim Silence, on ComfyUI's AUDIO."""

import math

import torch
from comfy_api.latest import io

from ..miso.audio.loudness import Level, to_loudness
from ..miso.audio.trim import trim_silence
from .memory import progress
from .schema import FINISH, block
from .sockets import name_errors, show_on_node
from .sound import wave_of


def _audio_input() -> io.Input:
    return io.Audio.Input("audio", tooltip="From Vocoder Decode, or any sound.")


def _audio_output(id: str, tooltip: str) -> io.Output:
    return io.Audio.Output(id, display_name="audio", tooltip=tooltip)


class Loudness(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoudness",
            display_name="Loudness",
            category=FINISH,
            description="Makes sounds equally loud, as podcast platforms measure it. Only the gain changes.",
            inputs=[
                _audio_input(),
                io.Float.Input(
                    "lufs",
                    default=-16.0,
                    min=-70.0,
                    max=0.0,
                    step=0.5,
                    tooltip="Loudness to reach: -16 for podcasts, -23 for European television, -14 for music "
                    "platforms.",
                ),
                io.Float.Input(
                    "peak",
                    default=-1.0,
                    min=-70.0,
                    max=0.0,
                    step=0.1,
                    tooltip="No peak gets above this many dB, also between samples: a sound with high peaks "
                    "stays quieter instead.",
                ),
            ],
            outputs=[_audio_output("leveled", "The same sound at that loudness.")],
        )

    @classmethod
    @name_errors
    def execute(cls, audio: dict, lufs: float, peak: float):
        (waves, rate), report = wave_of(audio), progress()
        leveled, said = [], []
        for take, wave in enumerate(waves):
            report(take, len(waves))
            result, level = to_loudness(wave, rate, lufs, peak)
            leveled.append(result)
            said.append(_described(level, lufs))
        report(len(waves), len(waves))
        show_on_node("; ".join(said[:4]))
        return io.NodeOutput({"waveform": torch.stack(leveled), "sample_rate": rate})


def _described(level: Level, target: float) -> str:
    if level.loudness == -math.inf:
        return "silence"
    held = ", held back by its peaks" if level.loudness < target - 0.1 else ""
    return f"{level.loudness:.1f} LUFS, peak {level.peak:.1f} dB{held}"


class TrimSilence(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoTrimSilence",
            display_name="Trim Silence",
            category=FINISH,
            description="Cuts silence off both ends of a sound.",
            inputs=[
                _audio_input(),
                io.Float.Input(
                    "keep",
                    default=0.1,
                    min=0.0,
                    max=60.0,
                    step=0.01,
                    tooltip="Seconds of silence to leave before and after the speech.",
                ),
                io.Float.Input(
                    "threshold",
                    default=-40.0,
                    min=-100.0,
                    max=-1.0,
                    step=1.0,
                    tooltip="Quieter than this, in dB below the loudest part, counts as silence. Raise it "
                    "for a noisy recording.",
                ),
            ],
            outputs=[_audio_output("trimmed_audio", "The sound without silence at its ends.")],
        )

    @classmethod
    @name_errors
    def execute(cls, audio: dict, keep: float, threshold: float):
        wave, rate = wave_of(audio)
        cut = trim_silence(wave, rate, threshold, keep)
        left = cut.shape[2] / rate
        show_on_node(f"{wave.shape[2] / rate - left:.2f} s cut off, {left:.2f} s left")
        return io.NodeOutput({"waveform": cut, "sample_rate": rate})


NODES = [Loudness, TrimSilence]
