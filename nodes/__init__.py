"""The blocks of the graph. Thin: sockets, widgets, tooltips, progress and memory management.

Every idea lives in ``miso``.
"""

from comfy_api.latest import ComfyExtension, io

from . import (
    codes,
    conditioning,
    depth,
    editing,
    editor,
    loaders,
    parts,
    picker,
    sampling,
    sound,
    store,
    text,
)

_MODULES = (loaders, text, conditioning, sampling, depth, codes, parts, editing, editor, picker, sound, store)


class MisoExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [node for module in _MODULES for node in module.NODES]


async def comfy_entrypoint() -> MisoExtension:
    return MisoExtension()
