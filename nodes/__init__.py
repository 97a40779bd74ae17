"""The blocks. Thin: sockets, widgets, tooltips, progress and memory management; every idea lives in ``miso``."""

from comfy_api.latest import ComfyExtension, io

from . import codes, conditioning, editing, editor, loaders, picker, sampling, sound, store


class MisoExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            *loaders.NODES,
            *conditioning.NODES,
            *sampling.NODES,
            *codes.NODES,
            *editing.NODES,
            *editor.NODES,
            *picker.NODES,
            *sound.NODES,
            *store.NODES,
        ]


async def comfy_entrypoint() -> MisoExtension:
    return MisoExtension()
