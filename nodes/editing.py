"""Operations on codes as small blocks."""

from comfy_api.latest import io

from ..miso import editing
from ..miso.codes import Codes
from . import sockets
from .sockets import CATEGORY, in_words

FRAMES = 1_000_000


class PickTake(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoPickTake", display_name="Pick Take", category=CATEGORY, description="One of several takes, cut to its own length.",
            inputs=[sockets.Codes.Input("codes"), io.Int.Input("take", default=0, min=-64, max=63, tooltip="0 is the first, -1 the last.")],
            outputs=[sockets.Codes.Output("picked", display_name="codes")])

    @classmethod
    @in_words
    def execute(cls, codes: Codes, take: int):
        return io.NodeOutput(codes.take(take))


class TrimCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoTrimCodes", display_name="Trim Codes", category=CATEGORY, description="A range of frames (12.5 a second) of each take.",
            inputs=[sockets.Codes.Input("codes"),
                    io.Int.Input("start", default=0, min=-FRAMES, max=FRAMES, tooltip="First frame to keep; negative counts from the end."),
                    io.Int.Input("frames", default=0, min=0, max=FRAMES, tooltip="Frames to keep at most; 0 keeps all to the end.")],
            outputs=[sockets.Codes.Output("trimmed", display_name="codes")])

    @classmethod
    @in_words
    def execute(cls, codes: Codes, start: int, frames: int):
        return io.NodeOutput(editing.trim(codes, start, frames or None))


class SpliceCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoSpliceCodes", display_name="Splice Codes", category=CATEGORY,
            description="Puts codes into others, or after them. Decode once, afterwards: the vocoder then carries the sound over the seam.",
            inputs=[sockets.Codes.Input("codes"), sockets.Codes.Input("other", tooltip="What is put in: one take, or as many as codes."),
                    io.Int.Input("at", default=-1, min=-1, max=FRAMES, tooltip="Frame it goes before; -1 puts it at the end.")],
            outputs=[sockets.Codes.Output("spliced", display_name="codes")])

    @classmethod
    @in_words
    def execute(cls, codes: Codes, other: Codes, at: int):
        return io.NodeOutput(editing.splice(codes, other, None if at < 0 else at))


class KeepCodebooks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoKeepCodebooks", display_name="Keep Codebooks", category=CATEGORY,
            description="The first codebooks only: coarser sound, or codes for a vocoder that takes fewer.",
            inputs=[sockets.Codes.Input("codes"), io.Int.Input("count", default=8, min=1, max=32)],
            outputs=[sockets.Codes.Output("kept", display_name="codes")])

    @classmethod
    @in_words
    def execute(cls, codes: Codes, count: int):
        return io.NodeOutput(editing.keep_codebooks(codes, count))


NODES = [PickTake, TrimCodes, SpliceCodes, KeepCodebooks]
