"""Save, Load and Preview Codes.

Load Codes tells the page what it has loaded as ``output.miso_file``, one object: ``{file, takes, seconds,
seed, stop, text, sound, silent}``. ``seconds`` and what follows are of the first take; ``sound`` is a file
for ``/view`` or null, and ``silent`` then says why.
"""

from comfy_api.latest import io, ui
from server import PromptServer

from ..miso.codes.codes import Codes
from ..miso.codes.picture import draw_codes
from ..miso.codes.retired import other_codec
from ..miso.errors import MisoError
from . import codes_files, sockets
from .listen import NO_VOCODER, bundled_vocoder, sound_file
from .memory import Part
from .saving import save
from .schema import CODES, block
from .sockets import name_errors


class SaveCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoSaveCodes",
            display_name="Save Codes",
            category=CODES,
            description="Saves codes in the output folder as .safetensors, with the workflow inside: drop "
            "the file on the canvas to get the graph back.",
            inputs=[
                sockets.Codes.Input("codes", tooltip="The codes to save, all takes."),
                io.String.Input(
                    "filename_prefix",
                    default="codes/miso",
                    tooltip="Subfolder of the output folder, and the beginning of the file name.",
                ),
            ],
            outputs=[sockets.Codes.Output("saved", display_name="codes", tooltip="The same codes.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes, filename_prefix: str):
        return io.NodeOutput(codes, ui={"codes": save(filename_prefix, cls.hidden, codes.save)})


class LoadCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoadCodes",
            display_name="Load Codes",
            category=CODES,
            # two equal nodes would otherwise share one result, and the second would show nothing
            not_idempotent=True,
            description="Loads codes that Save Codes or `python -m miso say --codes` wrote, and plays them.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=codes_files.choices(),
                    tooltip="A codes file in any folder of input or output, newest first. Refresh finds new "
                    "ones.",
                ),
                sockets.Vocoder.Input(
                    "preview",
                    optional=True,
                    tooltip="A vocoder to hear the file with. Codes of nano are heard without one.",
                ),
            ],
            outputs=[sockets.Codes.Output("codes", display_name="codes", tooltip="The codes of the file.")],
            # runs alone, to be heard; and ComfyUI tells a page that was opened anew what it had shown
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(cls, file: str, preview: Part | None = None):
        codes = Codes.load(codes_files.path_of(file, "file"))
        return io.NodeOutput(codes, ui={"miso_file": [_shown(file, codes, preview)]})

    @classmethod
    def validate_inputs(cls, file: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str, preview: Part | None = None):
        return codes_files.modified(file)


def _shown(file: str, codes: Codes, preview: Part | None) -> dict:
    """What the page shows of a file, as the module's docstring describes it."""
    first, sound, silent = codes.takes[0], None, ""
    vocoder = preview or bundled_vocoder(codes.codec)
    if not codes.lengths[0]:
        silent = "The first take is empty."
    elif vocoder is None:
        told = other_codec(codes.codec, NO_VOCODER, "Connect a vocoder to preview to hear it.")
        silent = " ".join(told).rstrip()
    elif PromptServer.instance.client_id is not None:  # somebody who could listen
        try:
            sound = sound_file(codes.take(0), vocoder)
        except MisoError as e:  # codes are what is asked for, whether they can be heard or not
            silent = str(e)
    return {
        "file": file,
        "takes": codes.batch,
        "seconds": codes.seconds[0],
        "seed": first.seed,
        "stop": first.stop,
        "text": first.label,
        "sound": sound,
        "silent": silent,
    }


class PreviewCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoPreviewCodes",
            display_name="Preview Codes",
            category=CODES,
            description="Draws codes: one column a frame, one row a codebook, one colour a code.",
            inputs=[sockets.Codes.Input("codes", tooltip="The codes to draw, one picture a take.")],
            outputs=[io.Image.Output("image", display_name="image", tooltip="The pictures.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(cls, codes: Codes):
        image = draw_codes(codes)
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))


NODES = [SaveCodes, LoadCodes, PreviewCodes]
