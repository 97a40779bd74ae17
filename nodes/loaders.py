"""Load Miso Model and Load Vocoder."""

import os

import comfy.model_management as mm
import folder_paths
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..miso.checkpoints.devices import PRECISIONS
from ..miso.checkpoints.fit import choose_precision
from ..miso.checkpoints.summary import CheckpointSummary
from ..miso.vocoders import DEFAULT, backends, load_vocoder
from . import folders, sockets
from .memory import Part
from .sampling import Depth
from .sockets import CATEGORY, name_errors
from .store import known_checkpoints

folders.register()


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoLoadModel",
            display_name="Load Miso Model",
            category=CATEGORY,
            description="Opens a checkpoint of the Miso / CSM family. Its parts are loaded when a block first needs them.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=folders.choices(folders.MODELS),
                    tooltip="A file in models/miso, or a known checkpoint, which is downloaded if it isn't there.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *PRECISIONS],
                    default="auto",
                    tooltip="Number format of the weights. auto: what the GPU's memory holds of bf16, int8 and int4; fp32 on the CPU. "
                    "fp8 takes as much memory as int8 and is less exact.",
                ),
            ],
            outputs=[
                sockets.Backbone.Output(
                    "backbone", display_name="backbone", tooltip="Draws codebook 0 of every frame."
                ),
                sockets.Depth.Output(
                    "depth", display_name="depth", tooltip="Draws the other codebooks within a frame."
                ),
                sockets.Text.Output("text", display_name="text", tooltip="Makes text into prompt rows."),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, checkpoint: str, precision: str):
        known = CheckpointSummary(folders.find(folders.MODELS, checkpoint, "checkpoint"), known_checkpoints())
        # all of its memory but what ComfyUI keeps back: other models make way, and the choice is the same on every run
        memory = mm.get_total_memory(mm.get_torch_device()) - mm.extra_reserved_memory()
        (chosen, because, on_cpu), device = (
            choose_precision(precision, known, mm.get_torch_device(), memory),
            mm.unet_offload_device(),
        )
        _say(f"{chosen}: {because}")
        about = {"fingerprint": known.fingerprint, "precision": str(chosen)}
        backbone = Part(
            lambda progress: known.checkpoint.load_backbone(device, chosen, progress, on_cpu), **about
        )
        depth = Part(lambda progress: known.checkpoint.load_depth(device, chosen, progress), **about)
        return io.NodeOutput(backbone, Depth(depth), known.text_encoder([folders.TOKENIZER]))

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, precision: str):
        return _changed(folders.MODELS, checkpoint)


class LoadVocoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoLoadVocoder",
            display_name="Load Vocoder",
            category=CATEGORY,
            description="Opens what turns codes into sound. Change it and nothing is sampled again.",
            inputs=[
                io.Combo.Input(
                    "backend",
                    options=list(backends()),
                    default=DEFAULT,
                    tooltip="auto: what the file is made for, mimi (a codec) or source-filter (for a codec's codes), both our own "
                    "and streaming. moshi and transformers decode a codec's file too, and need their packages.",
                ),
                io.Combo.Input(
                    "checkpoint",
                    options=folders.choices(folders.VOCODERS),
                    tooltip="A file in models/miso_vocoders, or a known codec, which is downloaded if it isn't there.",
                ),
            ],
            outputs=[sockets.Vocoder.Output("vocoder", display_name="vocoder")],
        )

    @classmethod
    @name_errors
    def execute(cls, backend: str, checkpoint: str):
        path, device = folders.find(folders.VOCODERS, checkpoint, "checkpoint"), mm.vae_offload_device()
        part = Part(
            lambda progress: load_vocoder(backend, path, device=device), lambda vocoder: vocoder.module
        )
        part.patcher()  # small enough to load now, so that what is wrong with it is this block's error
        return io.NodeOutput(part)

    @classmethod
    def fingerprint_inputs(cls, backend: str, checkpoint: str):
        return _changed(folders.VOCODERS, checkpoint)


def _say(text: str) -> None:
    """Below the running block, where the browser's frontend shows such lines."""
    PromptServer.instance.send_progress_text(text, get_executing_context().node_id)


def _changed(folder: str, choice: str):
    """A file replaced under the same name is another model."""
    path = folder_paths.get_full_path(folder, choice)
    return path and os.stat(path).st_mtime_ns


NODES = [LoadModel, LoadVocoder]
