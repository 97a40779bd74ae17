"""Save, Load and Preview Codes."""

import json
import logging
import os

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io, ui

from ..miso.codes.codes import Codes
from ..miso.codes.picture import draw_codes
from ..miso.errors import MisoError
from . import folders, sockets
from .schema import CODES, block
from .sockets import name_errors, show_on_node

log = logging.getLogger(__name__)


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
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        file = f"{name}_{counter:05}_.safetensors"
        extra = {}
        if not args.disable_metadata:
            graph = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
            extra = {key: json.dumps(value) for key, value in graph.items() if value}
        try:
            codes.save(os.path.join(folder, file), extra)
        except MisoError as e:  # a full disk must not take the codes from the blocks after this one
            log.error("Save Codes: %s", e)
            show_on_node(f"Not saved: {e}")
            return io.NodeOutput(codes, ui={"codes": []})
        return io.NodeOutput(
            codes, ui={"codes": [{"filename": file, "subfolder": subfolder, "type": "output"}]}
        )


class LoadCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoadCodes",
            display_name="Load Codes",
            category=CODES,
            description="Loads codes that Save Codes or `python -m miso say --codes` wrote.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folders.codes_choices(),
                    tooltip="A codes file in the input folder or in output/codes, newest first. Press R to "
                    "see new files.",
                )
            ],
            outputs=[sockets.Codes.Output("codes", display_name="codes", tooltip="The codes of the file.")],
        )

    @classmethod
    @name_errors
    def execute(cls, file: str):
        return io.NodeOutput(Codes.load(folders.codes_path(file, "file")))

    @classmethod
    def fingerprint_inputs(cls, file: str):
        return folders.codes_path(file, "file").stat().st_mtime_ns


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
