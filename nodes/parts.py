"""Blocks that keep a part of codes: a take, a range of frames, some codebooks, a beginning."""

from comfy_api.latest import io

from ..miso.codes import editing
from ..miso.codes.codes import Codes
from . import sockets
from .schema import EDIT, block
from .sockets import name_errors

FRAMES = 1_000_000


def codes_input() -> io.Input:
    return sockets.Codes.Input("codes", tooltip="The codes to change. Several takes are all changed alike.")


def start_input(
    tooltip: str = "First frame of the range; 12.5 frames a second. Negative counts from the end.",
) -> io.Input:
    return io.Int.Input("start", default=0, min=-FRAMES, max=FRAMES, tooltip=tooltip)


def codes_output(id: str, name: str = "codes", tooltip: str = "The changed codes.") -> io.Output:
    return sockets.Codes.Output(id, display_name=name, tooltip=tooltip)


class PickTake(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoPickTake",
            display_name="Pick Take",
            category=EDIT,
            description="Picks one of several takes, cut to its own length.",
            inputs=[
                sockets.Codes.Input("codes", tooltip="Codes with several takes."),
                io.Int.Input("take", default=0, min=-64, max=63, tooltip="0 is the first take, -1 the last."),
            ],
            outputs=[codes_output("picked", tooltip="The picked take.")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, take: int):
        return io.NodeOutput(codes.take(take))


class TrimCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoTrimCodes",
            display_name="Trim Codes",
            category=EDIT,
            description="Keeps a range of frames of each take (12.5 frames a second).",
            inputs=[
                codes_input(),
                start_input("First frame to keep. Negative counts from the end."),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=FRAMES,
                    tooltip="Number of frames to keep; 0 keeps all to the end.",
                ),
            ],
            outputs=[codes_output("trimmed")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, start: int, frames: int):
        return io.NodeOutput(editing.trim(codes, start, frames or None))


class KeepCodebooks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoKeepCodebooks",
            display_name="Keep Codebooks",
            category=EDIT,
            description="Keeps the first codebooks only: coarser sound, or codes for a vocoder that takes "
            "fewer codebooks.",
            inputs=[
                codes_input(),
                io.Int.Input("count", default=8, min=1, max=32, tooltip="Number of codebooks to keep."),
            ],
            outputs=[codes_output("kept")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, count: int):
        return io.NodeOutput(editing.keep_codebooks(codes, count))


class Prefix(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoPrefix",
            display_name="Prefix",
            category=EDIT,
            description="The beginning of a take, to be continued by a sampler. Give that sampler another "
            "seed to hear another ending.",
            inputs=[
                sockets.Codes.Input("codes", tooltip="The take whose beginning is kept."),
                io.Int.Input(
                    "frames",
                    default=-12,
                    min=-FRAMES,
                    max=FRAMES,
                    tooltip="Number of frames to keep. A negative number drops that many at the end.",
                ),
            ],
            outputs=[codes_output("prefix", "prefix", "For a Backbone Sampler's prefix.")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, frames: int):
        return io.NodeOutput(editing.prefix(codes, frames))


NODES = [PickTake, TrimCodes, KeepCodebooks, Prefix]
