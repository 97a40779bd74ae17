"""Load Miso Model and Load Vocoder."""

import os

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..miso.checkpoints.devices import PRECISIONS
from ..miso.checkpoints.fit import choose_precision
from ..miso.checkpoints.summary import CheckpointSummary
from ..miso.model.networks import Backbone, DepthDecoder
from ..miso.vocoders import DEFAULT, list_backends
from . import folders, sockets
from .backends import add_backends
from .depth import Depth
from .memory import progress, vocoder_part
from .networks import Source, network_part
from .schema import ADVANCED, LOAD, block
from .sockets import name_errors, show_on_node
from .store import checkpoint_notes

folders.register()

_DTYPES = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}  # of vocoders


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoadModel",
            display_name="Load Miso Model",
            category=LOAD,
            description="Opens a voice model: Miso TTS, CSM or nano. Its parts are loaded when a block first "
            "needs them.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=folders.choices(folders.MODELS),
                    tooltip="A file in models/miso, or a published checkpoint. Choosing one marked "
                    "'download' downloads it when you run the graph.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *PRECISIONS],
                    default="auto",
                    tooltip="Number format of the weights. auto: the most exact of bf16, int8 and int4 that "
                    "fits the GPU's memory; fp32 on the CPU. fp8 needs as much memory as int8 and is less "
                    "exact.",
                ),
            ],
            outputs=[
                sockets.Backbone.Output(
                    "backbone", display_name="backbone", tooltip="Speaks: for Backbone Sampler."
                ),
                sockets.Depth.Output(
                    "depth",
                    display_name="depth",
                    tooltip="Adds the detail of the sound: for Backbone Sampler or Depth Redecode.",
                ),
                sockets.Text.Output("text", display_name="text", tooltip="For Encode Text."),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, checkpoint: str, precision: str):
        path = folders.find(folders.MODELS, checkpoint, "checkpoint")
        summary = CheckpointSummary(path, checkpoint_notes(), progress())
        device = mm.get_torch_device()
        # All memory but what ComfyUI reserves: other models are unloaded to make room, so every run makes the
        # same choice.
        memory = mm.get_total_memory(device) - mm.extra_reserved_memory()
        chosen, because, on_cpu = choose_precision(precision, summary, device, memory)
        show_on_node(f"{chosen}: {because}")
        backbone, depth = (
            network_part(Source(network, summary, chosen, layers))
            for network, layers in ((Backbone, on_cpu), (DepthDecoder, 0))
        )
        text = summary.text_encoder([folders.TOKENIZER]).with_pronunciations(folders.pronunciations())
        return io.NodeOutput(backbone, Depth(depth, checkpoint=path.name), text)

    @classmethod
    def validate_inputs(cls, checkpoint: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, precision: str):
        return _modified(folders.MODELS, checkpoint), folders.pronunciations_modified()


class LoadVocoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        add_backends()
        return block(
            node_id="MisoLoadVocoder",
            display_name="Load Vocoder",
            category=LOAD,
            description="Opens a vocoder, which turns codes into sound. Change it and nothing is sampled "
            "again.",
            inputs=[
                io.Combo.Input(
                    "backend",
                    options=list(list_backends()),
                    default=DEFAULT,
                    tooltip="auto: the backend that the file is made for. mimi (a codec) and source-filter "
                    "(a vocoder for a codec's codes) are our own and stream. onnx decodes a file that miso "
                    "export made of a codec, on the CPU. lfm2 is the detokenizer of LFM2.5-Audio, another "
                    "decoder for Mimi's first 8 codebooks. moshi and transformers also decode a codec's "
                    "file, with the packages of that name.",
                ),
                io.Combo.Input(
                    "checkpoint",
                    options=folders.choices(folders.VOCODERS),
                    tooltip="A file in models/miso_vocoders, or a published codec. Choosing one marked "
                    "'download' downloads it when you run the graph.",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(_DTYPES),
                    default="fp32",
                    optional=True,
                    tooltip="Number format of decoding. fp16 takes less memory on a GPU and is close to "
                    "fp32 (56 dB); bf16 is coarser (38 dB). Encoding is always fp32.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                sockets.Vocoder.Output(
                    "vocoder",
                    display_name="vocoder",
                    tooltip="For Vocoder Decode, Encode Audio and every preview input.",
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, backend: str, checkpoint: str, precision: str = "fp32"):
        path = folders.find(folders.VOCODERS, checkpoint, "checkpoint")
        part = vocoder_part(backend, path, _DTYPES[precision])
        opened = part.opened()  # small: load it now, so that a bad file is this block's error
        if opened.notice:
            show_on_node(opened.notice)
        return io.NodeOutput(part)

    @classmethod
    def validate_inputs(cls, checkpoint: str = "", backend: str = ""):
        """As in Load Miso Model; a backend may be of another pack."""
        return True

    @classmethod
    def fingerprint_inputs(cls, backend: str, checkpoint: str, precision: str = "fp32"):
        return _modified(folders.VOCODERS, checkpoint)


def _modified(folder: str, choice: str) -> int | None:
    """When the file was last changed: a file replaced under the same name is another model."""
    path = folders.model_path(folder, choice)
    return os.stat(path).st_mtime_ns if path else None


NODES = [LoadModel, LoadVocoder]
