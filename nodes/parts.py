"""Blocks that keep a part of codes: a take, a range of frames, some codebooks, a beginning."""

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..miso.codes import editing
from ..miso.codes.codes import Codes
from ..miso.codes.hidden import Hidden
from ..miso.errors import MisoError
from . import sockets
from .schema import EDIT, block
from .sockets import name_errors, show_on_node

FRAMES = 1_000_000


def codes_input() -> io.Input:
    return sockets.Codes.Input("codes", tooltip="The codes to change. Several takes are all changed alike.")


def start_input(
    tooltip: str = "First frame of the range; 12.5 frames a second. Negative counts from the end.",
) -> io.Input:
    return io.Int.Input("start", default=0, min=-FRAMES, max=FRAMES, tooltip=tooltip)


def codes_output(id: str, name: str = "codes", tooltip: str = "The changed codes.") -> io.Output:
    return sockets.Codes.Output(id, display_name=name, tooltip=tooltip)


def hidden_input() -> io.Input:
    return sockets.Hidden.Input(
        "hidden",
        optional=True,
        tooltip="Hidden states of the run that made the codes, for Depth Redecode after the pick.",
    )


def hidden_output() -> io.Output:
    return sockets.Hidden.Output(
        "picked_hidden",
        display_name="hidden",
        tooltip="Hidden states of what is picked, for Depth Redecode. If hidden isn't connected, blocks "
        "connected here are skipped.",
    )


def pick_hidden(hidden: Hidden | None, codes: Codes, takes: list[int]) -> Hidden | ExecutionBlocker:
    """Hidden states of the picked takes (from 0); without any, the blocks after them are skipped."""
    if hidden is None:
        return ExecutionBlocker(None)
    hidden.check_same_run(codes)
    return hidden.takes(takes)


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
                io.Int.Input(
                    "take",
                    default=0,
                    min=-64,
                    max=63,
                    tooltip="0 picks take 1, 1 picks take 2 and so on; -1 picks the last.",
                ),
                hidden_input(),
            ],
            outputs=[codes_output("picked", tooltip="The picked take."), hidden_output()],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, take: int, hidden: Hidden | None = None):
        try:
            picked = codes.take(take)
        except MisoError as e:
            remedy = f"Choose 0 to {codes.batch - 1} (0 picks take 1), or -1 for the last."
            raise MisoError(e.problem, remedy, input="take") from e
        show_on_node(f"Take {take % codes.batch + 1} of {codes.batch}")
        return io.NodeOutput(picked, pick_hidden(hidden, codes, [take]))


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
