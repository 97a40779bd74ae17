"""Operations on codes as small blocks, for graphs that edit by themselves; Code Editor does the same by hand."""

from weakref import WeakKeyDictionary

from comfy_api.latest import io

from ..miso.codes import editing
from ..miso.codes.codes import Codes
from ..miso.errors import MisoError
from ..miso.vocoders import coded_silence
from . import sockets
from .memory import Part, on_device
from .sockets import CATEGORY, name_errors

FRAMES = 1_000_000
_silences: WeakKeyDictionary[Part, Codes] = WeakKeyDictionary()
_START = "First frame of the range, 12.5 a second; negative counts from the end."


def silence_of(vocoder: Part | None):
    """What makes silence for an edit: the vocoder's encoder, once and if it comes to that; None without a vocoder."""

    def silence() -> Codes:
        if vocoder not in _silences:
            _silences[vocoder] = coded_silence(on_device(vocoder)[0])
        return _silences[vocoder]

    return vocoder and silence


def _range(start: int, frames: int) -> tuple[int, int | None]:
    """Start and end of ``frames`` frames from ``start`` on; one that counts from the end may reach it, not pass it."""
    if start < 0 < start + frames:
        raise MisoError(
            f"{frames} frames from frame {start} on pass the end.", f"Use at most {-start}.", input="frames"
        )
    return start, None if start < 0 and start + frames == 0 else start + frames


class PickTake(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoPickTake",
            display_name="Pick Take",
            category=CATEGORY,
            description="One of several takes, cut to its own length.",
            inputs=[
                sockets.Codes.Input("codes"),
                io.Int.Input("take", default=0, min=-64, max=63, tooltip="0 is the first, -1 the last."),
            ],
            outputs=[sockets.Codes.Output("picked", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, take: int):
        return io.NodeOutput(codes.take(take))


class TrimCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoTrimCodes",
            display_name="Trim Codes",
            category=CATEGORY,
            description="A range of frames (12.5 a second) of each take.",
            inputs=[
                sockets.Codes.Input("codes"),
                io.Int.Input(
                    "start",
                    default=0,
                    min=-FRAMES,
                    max=FRAMES,
                    tooltip="First frame to keep; negative counts from the end.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=FRAMES,
                    tooltip="Frames to keep at most; 0 keeps all to the end.",
                ),
            ],
            outputs=[sockets.Codes.Output("trimmed", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, start: int, frames: int):
        return io.NodeOutput(editing.trim(codes, start, frames or None))


class SpliceCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoSpliceCodes",
            display_name="Splice Codes",
            category=CATEGORY,
            description="Puts codes into others, or after them. Decode once, afterwards: the vocoder then carries the sound over the seam.",
            inputs=[
                sockets.Codes.Input("codes"),
                sockets.Codes.Input("other", tooltip="What is put in: one take, or as many as codes."),
                io.Int.Input(
                    "at",
                    default=-1,
                    min=-1,
                    max=FRAMES,
                    tooltip="Frame it goes before; -1 puts it at the end.",
                ),
            ],
            outputs=[sockets.Codes.Output("spliced", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, other: Codes, at: int):
        return io.NodeOutput(editing.splice(codes, other, None if at < 0 else at))


class KeepCodebooks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoKeepCodebooks",
            display_name="Keep Codebooks",
            category=CATEGORY,
            description="The first codebooks only: coarser sound, or codes for a vocoder that takes fewer.",
            inputs=[sockets.Codes.Input("codes"), io.Int.Input("count", default=8, min=1, max=32)],
            outputs=[sockets.Codes.Output("kept", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, count: int):
        return io.NodeOutput(editing.keep_codebooks(codes, count))


class DeleteCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoDeleteCodes",
            display_name="Delete Codes",
            category=CATEGORY,
            description="Each take without a range of its frames.",
            inputs=[
                sockets.Codes.Input("codes"),
                io.Int.Input("start", default=0, min=-FRAMES, max=FRAMES, tooltip=_START),
                io.Int.Input("frames", default=1, min=1, max=FRAMES, tooltip="How many frames go."),
            ],
            outputs=[sockets.Codes.Output("edited", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, start: int, frames: int):
        return io.NodeOutput(editing.delete(codes, *_range(start, frames)))


class InsertSilence(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoInsertSilence",
            display_name="Insert Silence",
            category=CATEGORY,
            description="Puts a pause into codes: what the codec makes of silence, or a quiet stretch given as codes.",
            inputs=[
                sockets.Codes.Input("codes"),
                io.Int.Input(
                    "at",
                    default=0,
                    min=-1,
                    max=FRAMES,
                    tooltip="Frame the pause goes before; -1 puts it at the end.",
                ),
                io.Int.Input(
                    "frames", default=6, min=0, max=FRAMES, tooltip="How long it is, 12.5 frames a second."
                ),
                sockets.Vocoder.Input(
                    "vocoder", optional=True, tooltip="One that encodes: it makes the silence."
                ),
                sockets.Codes.Input(
                    "silence",
                    optional=True,
                    tooltip="Instead: codes of a quiet stretch, used again and again if shorter.",
                ),
            ],
            outputs=[sockets.Codes.Output("edited", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(
        cls, codes: Codes, at: int, frames: int, vocoder: Part | None = None, silence: Codes | None = None
    ):
        if (vocoder is None) == (silence is None):
            raise MisoError(
                "Silence comes from a vocoder or from codes, one of the two.",
                "Connect either vocoder or silence.",
                input="silence",
            )
        silence = silence or silence_of(vocoder)()
        return io.NodeOutput(editing.insert_silence(codes, None if at < 0 else at, frames, silence))


class RepeatCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoRepeatCodes",
            display_name="Repeat Codes",
            category=CATEGORY,
            description="Says a range of frames again, right after it.",
            inputs=[
                sockets.Codes.Input("codes"),
                io.Int.Input("start", default=0, min=-FRAMES, max=FRAMES, tooltip=_START),
                io.Int.Input("frames", default=12, min=1, max=FRAMES, tooltip="How long the range is."),
                io.Int.Input("times", default=1, min=0, max=1000, tooltip="How often it is said again."),
            ],
            outputs=[sockets.Codes.Output("edited", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, start: int, frames: int, times: int):
        return io.NodeOutput(editing.repeat(codes, *_range(start, frames), times))


class ReplaceCodebooks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoReplaceCodebooks",
            display_name="Replace Codebooks",
            category=CATEGORY,
            description="Takes the sound of a range from other codes, codebooks first and above; below it, words and rhythm stay.",
            inputs=[
                sockets.Codes.Input("codes"),
                sockets.Codes.Input("other", tooltip="Where they come from: one take, or as many as codes."),
                io.Int.Input("start", default=0, min=-FRAMES, max=FRAMES, tooltip=_START),
                io.Int.Input("frames", default=12, min=1, max=FRAMES, tooltip="How long the range is."),
                io.Int.Input(
                    "first",
                    default=1,
                    min=0,
                    max=31,
                    tooltip="First codebook to take; 0 takes the words too.",
                ),
                io.Int.Input(
                    "other_start",
                    default=0,
                    min=-FRAMES,
                    max=FRAMES,
                    tooltip="Frame of the other codes to begin at.",
                ),
            ],
            outputs=[sockets.Codes.Output("edited", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, other: Codes, start: int, frames: int, first: int, other_start: int):
        return io.NodeOutput(
            editing.replace_codebooks(codes, *_range(start, frames), first, other, other_start)
        )


class Prefix(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoPrefix",
            display_name="Prefix",
            category=CATEGORY,
            description="The beginning of a take, for a sampler's prefix: it goes on from there. Give the sampler another seed to hear another end.",
            inputs=[
                sockets.Codes.Input("codes"),
                io.Int.Input(
                    "frames",
                    default=-12,
                    min=-FRAMES,
                    max=FRAMES,
                    tooltip="How many to keep; negative leaves so many out.",
                ),
            ],
            outputs=[sockets.Codes.Output("prefix", display_name="prefix")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, frames: int):
        return io.NodeOutput(editing.prefix(codes, frames))


NODES = [
    PickTake,
    TrimCodes,
    SpliceCodes,
    KeepCodebooks,
    DeleteCodes,
    InsertSilence,
    RepeatCodes,
    ReplaceCodebooks,
    Prefix,
]
