"""Blend and Compare, on ComfyUI's AUDIO.

The ``executed`` event of Compare carries what the page plays as ``output.miso_sounds``, one object:
``{sample_rate, sounds}``. ``sounds`` are mono files for ``/view``, one for the first take of each input; all
have the same length and rate.
"""

import torch
from comfy_api.latest import io, ui

from ..miso.audio.blend import align, blend
from ..miso.audio.spectrum import difference, draw_spectrograms
from .listen import decoded_file
from .memory import progress
from .schema import FINISH, block
from .sockets import name_errors, show_on_node
from .sound import wave_of

NAMES = ("a", "b", "c")


class Blend(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoBlend",
            display_name="Blend Sounds",
            category=FINISH,
            description="Mixes two sounds, or puts one in place of the other for a while: two vocoders, or "
            "two versions of a take.",
            inputs=[
                io.Audio.Input("a", tooltip="The sound that is heard outside the range."),
                io.Audio.Input(
                    "b", tooltip="The sound to mix in. Both begin together and get the higher rate of both."
                ),
                io.Float.Input(
                    "share",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of b: 0 only a, 1 only b.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=36_000.0,
                    step=0.01,
                    tooltip="Seconds at which b begins to be heard.",
                ),
                io.Float.Input(
                    "end",
                    default=0.0,
                    min=0.0,
                    max=36_000.0,
                    step=0.01,
                    tooltip="Seconds at which b ends to be heard; 0 for the end of the sound.",
                ),
            ],
            outputs=[
                io.Audio.Output("audio", display_name="audio", tooltip="For Preview Audio and Save Audio.")
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, a: dict, b: dict, share: float, start: float, end: float):
        (first, rate_a), (second, rate_b) = wave_of(a, "a"), wave_of(b, "b")
        rate = max(rate_a, rate_b)
        first, second = align((first, second), (rate_a, rate_b), rate)
        return io.NodeOutput({"waveform": blend(first, second, rate, share, start, end), "sample_rate": rate})


class Compare(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoCompare",
            display_name="Compare Sounds",
            category=FINISH,
            description="Plays two or three sounds in step, with one hidden to be guessed, shows their "
            "spectrograms side by side, and says how far they are from the first.",
            inputs=[
                io.Audio.Input("a", tooltip="The sound that the others are compared with."),
                io.Audio.Input("b", tooltip="For instance the same codes through another vocoder."),
                io.Audio.Input("c", optional=True, tooltip="A third sound."),
            ],
            outputs=[
                io.String.Output(
                    "text", display_name="text", tooltip="Log-spectral distance and loudness, in dB."
                ),
                io.Image.Output(
                    "image", display_name="image", tooltip="The spectrograms, one picture a take."
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(cls, a: dict, b: dict, c: dict | None = None):
        sounds = [wave_of(audio, name) for audio, name in zip((a, b, c), NAMES) if audio is not None]
        waves, rates = zip(*((wave.mean(1, keepdim=True), rate) for wave, rate in sounds))
        low, high = min(rates), max(rates)
        heard, drawn = align(waves, rates, low), align(waves, rates, high)
        report, images, lines = progress(), [], []
        for take in range(heard[0].shape[0]):
            report(take, heard[0].shape[0])
            of = f"Take {take + 1}: " if heard[0].shape[0] > 1 else ""
            for name, wave in zip(NAMES[1:], heard[1:]):
                found = difference(heard[0][take, 0], wave[take, 0], low)
                lines.append(
                    f"{of}{name} is {found.distance:.1f} dB from a (log-spectral distance to "
                    f"{low / 2000:g} kHz), {abs(found.louder):.1f} dB "
                    f"{'louder' if found.louder >= 0 else 'quieter'}."
                )
            images.append(draw_spectrograms([wave[take, 0] for wave in drawn], high))
        report(len(images), len(images))
        ends = [wave.shape[2] / rate for wave, rate in sounds]
        if max(ends) - min(ends) > 0.001:
            lines.append(f"They last {', '.join(f'{end:.2f}' for end in ends)} s.")
        show_on_node(" ".join(lines[:3]))
        image = torch.stack(images)
        played = {"sample_rate": high, "sounds": [_sound(wave[0, 0], high) for wave in drawn]}
        shown = {**ui.PreviewImage(image, cls=cls).as_dict(), "miso_sounds": (played,)}
        return io.NodeOutput("\n".join(lines), image, ui=shown)


def _sound(wave: torch.Tensor, rate: int) -> dict:
    """A file that the page can play, of samples [N]."""
    pcm = (wave.clamp(-1, 1) * 32767).round().to(torch.int16)
    return decoded_file(pcm.numpy().astype("<i2").tobytes(), rate)


NODES = [Blend, Compare]
