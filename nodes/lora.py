"""Load LoRA."""

import os
from dataclasses import replace

from comfy_api.latest import io

from ..miso.checkpoints.lora import CONFIG, Adapter
from ..miso.model.networks import Backbone, DepthDecoder
from . import folders, sockets
from .depth import Depth
from .networks import NetworkPart, network_part
from .schema import LOAD, block
from .sockets import name_errors, show_on_node


class LoadLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoadLora",
            display_name="Load LoRA",
            category=LOAD,
            description="Adds a LoRA adapter to a voice model: a voice or a style that somebody trained. "
            "Several in a row add up.",
            inputs=[
                sockets.Backbone.Input("backbone", tooltip="From Load Miso Model, or another Load LoRA."),
                sockets.Depth.Input("depth", tooltip="From Load Miso Model, or another Load LoRA."),
                io.Combo.Input(
                    "adapter",
                    options=folders.adapters(),
                    tooltip="A .safetensors file of PEFT in models/miso_loras, trained on this checkpoint, "
                    f"with its {CONFIG} beside it.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How much of it is added: 1 as it was trained, 0 nothing.",
                ),
            ],
            outputs=[
                sockets.Backbone.Output(
                    "adapted_backbone",
                    display_name="backbone",
                    tooltip="For Backbone Sampler. The same as before if the adapter doesn't change it.",
                ),
                sockets.Depth.Output(
                    "adapted_depth",
                    display_name="depth",
                    tooltip="For Backbone Sampler or Depth Redecode. The same as before if the adapter "
                    "doesn't change it.",
                ),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, backbone: NetworkPart, depth: Depth, adapter: str, strength: float):
        path = folders.adapter_path(adapter)
        opened = Adapter(path, backbone.source.summary.config)
        changed = [
            name
            for network, name in ((Backbone, "backbone"), (DepthDecoder, "depth decoder"))
            if opened.changes_network(network)
        ]
        alpha = "" if opened.alpha_known else f" {CONFIG} is missing: alpha is taken for the rank."
        show_on_node(f"Changes {len(opened.changes)} matrices of the {' and the '.join(changed)}.{alpha}")
        part = depth.part
        if opened.changes_network(DepthDecoder):
            own = Adapter(path, part.source.summary.config)
            part = _adapted(part, own, strength)
            depth = replace(depth, part=part, checkpoint=f"{depth.checkpoint} with {path.name}")
        return io.NodeOutput(_adapted(backbone, opened, strength), depth)

    @classmethod
    def validate_inputs(cls, adapter: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True

    @classmethod
    def fingerprint_inputs(cls, adapter: str, strength: float):
        path = folders.model_path(folders.ADAPTERS, adapter)
        settings = os.path.join(os.path.dirname(path or ""), CONFIG)
        return [os.stat(file).st_mtime_ns for file in (path, settings) if file and os.path.exists(file)]


def _adapted(part: NetworkPart, adapter: Adapter, strength: float) -> NetworkPart:
    source = replace(part.source, adapters=(*part.source.adapters, (adapter, strength)))
    return part if source.fingerprint == part.source.fingerprint else network_part(source)


NODES = [LoadLora]
