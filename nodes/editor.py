"""Code Editor: edits made by hand in the browser, replayed here on the exact codes.

The edits are the value of the widget ``edits`` (type ``MISO_EDITS``): JSON, see ``miso.codes.editing.edits``.

The ``executed`` event carries what the browser draws and plays as ``output.miso_codes``, one object for each
take, those of the input ``codes`` first and then those of ``other``, all BEFORE the edits:

    input          "codes" or "other"
    take           its number within that input, from 0
    frames         T, its own length
    codebooks      K
    codebook_size  ids are 0 to codebook_size - 1
    frame_rate     frames a second
    codec          id of the codec
    codes          base64 of K * T little-endian int16, one codebook after the other; null beyond the limit
    spans          [{start, end, text, speaker}]: frames start..end-1 say text (about, if exact is false)
    words          [{text, start, end, low}] in frames, which need not be whole; low: the place isn't sure
    seed           of the take, or null
    stop           "eos", "limit", "interrupted", "runaway" or null
    sound          {filename, subfolder, type: "temp"}: a mono FLAC for ``/view``; null without a vocoder, for
                   an empty take and beyond the limit

Takes are sent in order until they are MOST_FRAMES frames together; those after that come without codes and
sound.

``output.miso_edits`` is one object about the edits:

    codes, other   what ``made_on`` says of the inputs; ``other`` is null without second codes
    misfit         why nothing was applied, if the edits were made for other codes; otherwise ""
    silence        why silence can't be inserted, and what to connect; "" if it can

If an edit doesn't fit, the block fails, and the same two come as the event ``miso.misfit``, with ``node``: so
the browser can show where.
"""

import base64

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..miso.codes import editing
from ..miso.codes.codes import Codes
from ..miso.codes.takes import span_to_json
from ..miso.errors import MisoError
from ..miso.generation.alignment import LOW
from . import sockets
from .editing import silence_of, why_no_silence
from .listen import sound_file
from .memory import Part
from .preview import send
from .schema import EDIT, block
from .sockets import name_errors

Edits = io.Custom("MISO_EDITS")  # a widget: JSON of a list of operations

MOST_FRAMES = 20_000  # 27 minutes; with 32 codebooks, 1.7 MB of base64


class CodeEditor(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoCodeEditor",
            display_name="Code Editor",
            category=EDIT,
            description="Cut, move, repeat and pause speech on a timeline. The edits are saved in the "
            "workflow and replayed on the exact codes; changing one runs only this block and those after it.",
            inputs=[
                sockets.Codes.Input("codes", tooltip="The codes to edit."),
                Edits.Input(
                    "edits", optional=True, extra_dict={"default": "[]"}, tooltip="The edits, as JSON."
                ),
                sockets.Codes.Input(
                    "other", optional=True, tooltip="Other codes, to insert from or to copy codebooks from."
                ),
                sockets.Vocoder.Input(
                    "vocoder",
                    optional=True,
                    tooltip="Draws and plays the sound. A codec also makes the silence; nano's is built in.",
                ),
            ],
            outputs=[
                sockets.Codes.Output("edited", display_name="codes", tooltip="The edited codes."),
                sockets.Codes.Output(
                    "prefix",
                    display_name="prefix",
                    tooltip="The frames before 'Resample from here', for a Backbone Sampler's prefix. "
                    "Without that mark, blocks connected here are skipped.",
                ),
                io.Int.Output(
                    "redecode_from",
                    display_name="redecode_from",
                    tooltip="The frame marked 'Redecode depth from here', for Depth Redecode's start; 0 "
                    "without a mark.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(
        cls, codes: Codes, edits: str = "[]", other: Codes | None = None, vocoder: Part | None = None
    ):
        about = {
            "codes": editing.made_on(codes),
            "other": None if other is None else editing.made_on(other),
            "misfit": "",
            "silence": why_no_silence(vocoder, codes),
        }
        inputs = [("codes", codes)] if other is None else [("codes", codes), ("other", other)]
        try:
            edited = editing.apply(codes, edits, other, silence_of(vocoder, codes))
        except MisoError:
            send("miso.misfit", {"miso_codes": _takes(inputs, vocoder), "miso_edits": [about]})
            raise
        if edited.misfit:
            about["misfit"] = editing.MISFIT
        # A blocked output skips the blocks after it without an error: no mark means that nothing is to be
        # sampled anew.
        prefix = ExecutionBlocker(None) if edited.prefix is None else edited.prefix
        shown = {"miso_codes": _takes(inputs, vocoder), "miso_edits": [about]}
        return io.NodeOutput(edited.codes, prefix, edited.redecode_from or 0, ui=shown)


def _takes(inputs: list[tuple[str, Codes]], vocoder: Part | None) -> list[dict]:
    """The takes of the inputs, as the module's docstring describes them."""
    shown, left = [], MOST_FRAMES
    for name, codes in inputs:
        for i in range(codes.batch):
            take, provenance = codes.take(i), codes.takes[i]
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
                    "seed": provenance.seed,
                    "stop": provenance.stop,
                    "spans": [span_to_json(span) for span in provenance.spans],
                    "words": [
                        {
                            "text": word.text,
                            "start": word.start,
                            "end": word.end,
                            "low": word.confidence < LOW,
                        }
                        for word in provenance.words
                    ],
                    "codes": _base64(take) if left >= 0 else None,
                    "sound": sound_file(take, vocoder) if left >= 0 and vocoder and take.frames else None,
                }
            )
    return shown


def _base64(take: Codes) -> str | None:
    """The take's codes [1, K, T] as base64 of int16; None if int16 can't hold its ids."""
    if take.codebook_size > 2**15:
        return None
    return base64.b64encode(take.tensor[0].to(torch.int16).numpy().astype("<i2").tobytes()).decode()


NODES = [CodeEditor]
