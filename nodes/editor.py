"""Code Editor: edits made by hand in the browser, replayed here on the exact codes.

The list of edits is the value of the widget ``edits`` of the type ``MISO_EDITS``: JSON, as ``miso.editing.edits`` describes it.

What the browser draws and plays comes with the ``executed`` event, as ``output.miso_codes``: one object a take, those of the input
``codes`` first and then those of ``other``, all as they are BEFORE the edits:

    input          "codes" or "other"
    take           its number within that input, from 0
    frames         T, its own length
    codebooks      K
    codebook_size  ids are 0 to codebook_size - 1
    frame_rate     frames a second
    codec          id of the codec
    codes          base64 of K * T int16, little end first, one codebook after the other; null beyond the limit (see below)
    spans          [{start, end, text, speaker}]: frames start..end-1 say text
    seed           of the take, or null
    stop           "eos", "limit", "interrupted" or null
    sound          {filename, subfolder, type: "temp"}: mono FLAC of the take for ``/view``; null without a vocoder, without
                   frames and beyond the limit

Takes are sent whole, in order, until they are MOST_FRAMES frames together; the ones after that come without codes and sound.
"""

import base64

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..miso.codes import editing
from ..miso.codes.codes import Codes
from . import sockets
from .editing import silence_of
from .listen import sound_file
from .memory import Part
from .sockets import CATEGORY, name_errors

Edits = io.Custom("MISO_EDITS")  # a widget: JSON of a list of operations

MOST_FRAMES = 20_000  # 27 minutes; 32 codebooks of it are 1.7 MB of base64


class CodeEditor(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoCodeEditor",
            display_name="Code Editor",
            category=CATEGORY,
            description="Cut, move, repeat and replace codes by hand. Edits are kept in the workflow and replayed on the exact codes; "
            "changing one runs only this and what follows.",
            inputs=[
                sockets.Codes.Input("codes"),
                Edits.Input(
                    "edits", optional=True, extra_dict={"default": "[]"}, tooltip="The edits, as JSON."
                ),
                sockets.Codes.Input(
                    "other", optional=True, tooltip="Codes to insert from, or to take codebooks from."
                ),
                sockets.Vocoder.Input(
                    "vocoder",
                    optional=True,
                    tooltip="Draws and plays the sound, and makes silence if it encodes.",
                ),
            ],
            outputs=[
                sockets.Codes.Output("edited", display_name="codes"),
                sockets.Codes.Output(
                    "prefix",
                    display_name="prefix",
                    tooltip="The frames before 'resample from here', for a sampler's prefix. Without that mark it is skipped.",
                ),
                io.Int.Output(
                    "redecode_from",
                    display_name="redecode_from",
                    tooltip="The frame marked 'redecode depth here'; 0 without a mark.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(
        cls, codes: Codes, edits: str = "[]", other: Codes | None = None, vocoder: Part | None = None
    ):
        edited = editing.apply(codes, edits, other, silence_of(vocoder))
        # a blocked socket skips what hangs on it without an error: no mark is no mistake, and no reason to sample anew
        prefix = ExecutionBlocker(None) if edited.prefix is None else edited.prefix
        shown = _shown([("codes", codes), *([("other", other)] if other is not None else [])], vocoder)
        return io.NodeOutput(edited.codes, prefix, edited.redecode_from or 0, ui={"miso_codes": shown})


def _shown(inputs: list[tuple[str, Codes]], vocoder: Part | None) -> list[dict]:
    """The takes of the inputs as the browser gets them."""
    shown, left = [], MOST_FRAMES
    for name, codes in inputs:
        for i in range(codes.batch):
            take, about = codes.take(i), codes.takes[i]
            left -= take.frames
            shown.append(
                {
                    "input": name,
                    "take": i,
                    "frames": take.frames,
                    "codebooks": take.codebooks,
                    "codebook_size": take.codebook_size,
                    "frame_rate": take.frame_rate,
                    "codec": take.codec,
                    "seed": about.seed,
                    "stop": about.stop,
                    "spans": [
                        {"start": s.start, "end": s.end, "text": s.text, "speaker": s.speaker}
                        for s in about.spans
                    ],
                    "codes": _base64(take) if left >= 0 else None,
                    "sound": sound_file(take, vocoder) if left >= 0 and vocoder and take.frames else None,
                }
            )
    return shown


def _base64(take: Codes) -> str | None:
    """Its codes [1, K, T]; null for ids that int16 doesn't hold."""
    if take.codebook_size > 2**15:
        return None
    return base64.b64encode(take.tensor[0].to(torch.int16).numpy().astype("<i2").tobytes()).decode()


NODES = [CodeEditor]
