"""Operations on codes as blocks, for graphs that edit without a person. Code Editor does the same by hand."""

import functools
from collections.abc import Callable
from weakref import WeakKeyDictionary

from comfy_api.latest import io

from ..miso.checkpoints.find import BUNDLED
from ..miso.codes import editing
from ..miso.codes.codes import Codes
from ..miso.codes.retired import other_codec
from ..miso.errors import MisoError
from ..miso.model.config import MIMI
from ..miso.vocoders import DEFAULT, coded_silence
from ..miso.vocoders.mimi.weights import inspect_mimi
from . import sockets
from .memory import Part, on_device, vocoder_part
from .parts import FRAMES, codes_input, codes_output, start_input
from .schema import EDIT, block
from .sockets import name_errors

_silences: WeakKeyDictionary[Part, Codes] = WeakKeyDictionary()


def silence_of(vocoder: Part | None, codes: Codes) -> Callable[[], Codes] | None:
    """A function that encodes silence for these codes, on its first call only; None without a codec.

    The vocoder does if it encodes; if it can't, the embedded codec does for its own codes.
    """
    codec = vocoder if _encodes(vocoder, codes) else (_embedded(codes.codec) or vocoder)
    if codec is None:
        return None

    def silence() -> Codes:
        if codec not in _silences:
            _silences[codec] = coded_silence(on_device(codec)[0])
        return _silences[codec]

    return silence


def why_no_silence(vocoder: Part | None, codes: Codes) -> str:
    """Why silence can't be made for these codes, and what to connect; "" if it can."""
    if _encodes(vocoder, codes) or _embedded(codes.codec):
        return ""
    codec = "mimi" if codes.codec == MIMI else f"a codec of '{codes.codec}'"
    if vocoder is None:
        why = f"Silence needs a codec. Connect {codec} to the editor's vocoder."
    else:
        what = "is for other codes" if vocoder.opened().can_encode else "only decodes"
        why = f"Silence needs a codec, and the connected vocoder {what}. Choose {codec} in Load Vocoder."
    return " ".join(other_codec(codes.codec, "silence needs theirs", why)).rstrip()


def _encodes(vocoder: Part | None, codes: Codes) -> bool:
    """Whether it makes codes like these."""
    if vocoder is None:
        return False
    loaded = vocoder.opened()
    return loaded.can_encode and loaded.codec == codes.codec


@functools.cache
def _embedded(codec: str) -> Part | None:
    """The embedded codec, if it is the one named ``codec``."""
    path = BUNDLED / "nano-codec.safetensors"
    if inspect_mimi(path).codec != codec:
        return None
    return vocoder_part(DEFAULT, path)


def _range(codes: Codes, start: int, frames: int) -> tuple[int, int | None]:
    """Start and end of ``frames`` frames from ``start``; 0 frames reach to the end.

    A negative start counts from the end.
    """
    shortest = int(min(codes.lengths))
    most = -start if start < 0 else shortest - start
    if frames > most and -shortest <= start <= shortest:
        raise MisoError(
            f"Use at most {most}: the speech has {shortest} frames, too few for {frames} from frame {start}.",
            input="frames",
        )
    return start, start + frames if frames and start + frames else None


class SpliceCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoSpliceCodes",
            display_name="Splice Codes",
            category=EDIT,
            description="Inserts codes into others, or appends them. Decode the result once: the vocoder "
            "then smooths the seam.",
            inputs=[
                codes_input(),
                sockets.Codes.Input("other", tooltip="Codes to insert: one take, or as many takes as codes."),
                io.Int.Input(
                    "at",
                    default=-1,
                    min=-1,
                    max=FRAMES,
                    tooltip="Insert before this frame; -1 appends at the end.",
                ),
            ],
            outputs=[codes_output("spliced")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, other: Codes, at: int):
        return io.NodeOutput(editing.splice(codes, other, None if at < 0 else at))


class DeleteCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoDeleteCodes",
            display_name="Delete Codes",
            category=EDIT,
            description="Deletes a range of frames from each take.",
            inputs=[
                codes_input(),
                start_input(),
                io.Int.Input(
                    "frames",
                    default=1,
                    min=0,
                    max=FRAMES,
                    tooltip="Number of frames to delete; 0 deletes all to the end.",
                ),
            ],
            outputs=[codes_output("edited")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, start: int, frames: int):
        return io.NodeOutput(editing.delete(codes, *_range(codes, start, frames)))


class InsertSilence(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoInsertSilence",
            display_name="Insert Silence",
            category=EDIT,
            description="Inserts a pause: silence encoded by the codec, or a quiet stretch of other codes.",
            inputs=[
                codes_input(),
                io.Int.Input(
                    "at",
                    default=0,
                    min=-1,
                    max=FRAMES,
                    tooltip="Insert before this frame; -1 appends at the end.",
                ),
                io.Int.Input(
                    "frames",
                    default=6,
                    min=0,
                    max=FRAMES,
                    tooltip="Length of the pause; 12.5 frames a second.",
                ),
                sockets.Vocoder.Input(
                    "vocoder",
                    optional=True,
                    tooltip="A codec: it encodes the silence. nano-codec for nano, mimi for the others.",
                ),
                sockets.Codes.Input(
                    "silence",
                    optional=True,
                    tooltip="Or codes of a quiet stretch, repeated as often as needed.",
                ),
            ],
            outputs=[codes_output("edited")],
        )

    @classmethod
    @name_errors
    def execute(
        cls, codes: Codes, at: int, frames: int, vocoder: Part | None = None, silence: Codes | None = None
    ):
        if vocoder is not None and silence is not None:
            raise MisoError("Disconnect vocoder or silence: both are connected.", input="silence")
        if silence is None and (make := silence_of(vocoder, codes)):
            silence = make()
        if silence is None:
            raise MisoError(
                "Connect a codec to vocoder, or quiet codes to silence: nothing here makes silence.",
                input="silence",
            )
        return io.NodeOutput(editing.insert_silence(codes, None if at < 0 else at, frames, silence))


class RepeatCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoRepeatCodes",
            display_name="Repeat Codes",
            category=EDIT,
            description="Repeats a range of frames right after itself.",
            inputs=[
                codes_input(),
                start_input(),
                io.Int.Input(
                    "frames", default=12, min=1, max=FRAMES, tooltip="Length of the range in frames."
                ),
                io.Int.Input("times", default=1, min=0, max=1000, tooltip="Number of repetitions."),
            ],
            outputs=[codes_output("edited")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, start: int, frames: int, times: int):
        return io.NodeOutput(editing.repeat(codes, *_range(codes, start, frames), times))


class ReplaceCodebooks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoReplaceCodebooks",
            display_name="Replace Codebooks",
            category=EDIT,
            description="Copies codebooks of a range of frames from other codes. Codebook 0 carries words "
            "and rhythm; the others carry the detail of the sound.",
            inputs=[
                codes_input(),
                sockets.Codes.Input(
                    "other", tooltip="Codes to copy from: one take, or as many takes as codes."
                ),
                start_input(),
                io.Int.Input(
                    "frames", default=12, min=1, max=FRAMES, tooltip="Length of the range in frames."
                ),
                io.Int.Input(
                    "first",
                    default=1,
                    min=0,
                    max=31,
                    tooltip="First codebook to copy; all above it are copied too. 0 copies the words as "
                    "well.",
                ),
                io.Int.Input(
                    "other_start",
                    default=0,
                    min=-FRAMES,
                    max=FRAMES,
                    tooltip="Frame of the other codes where copying starts. Negative counts from the end.",
                ),
            ],
            outputs=[codes_output("edited")],
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, other: Codes, start: int, frames: int, first: int, other_start: int):
        return io.NodeOutput(
            editing.replace_codebooks(codes, *_range(codes, start, frames), first, other, other_start)
        )


NODES = [SpliceCodes, DeleteCodes, InsertSilence, RepeatCodes, ReplaceCodebooks]
