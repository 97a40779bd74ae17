"""The blocks of the graph. Thin: sockets, widgets, tooltips, progress and memory management.

Every idea lives in ``miso``.
"""

from comfy_api.latest import ComfyExtension, io

from . import (
    alignment,
    batch,
    choosing,
    codes,
    comparing,
    conditioning,
    conversations,
    depth,
    dialogue,
    editing,
    editor,
    finishing,
    hidden,
    importing,
    loaders,
    lora,
    parts,
    picker,
    preparing,
    recognising,
    replacement,
    sampling,
    sound,
    store,
    text,
    voices,
)

_MODULES = (
    loaders,
    lora,
    recognising,
    voices,
    text,
    conditioning,
    sampling,
    dialogue,
    batch,
    depth,
    hidden,
    codes,
    preparing,
    importing,
    conversations,
    parts,
    editing,
    editor,
    alignment,
    replacement,
    choosing,
    picker,
    sound,
    comparing,
    finishing,
    store,
)


class MisoExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [node for module in _MODULES for node in module.NODES]


async def comfy_entrypoint() -> MisoExtension:
    return MisoExtension()
