"""Files in ComfyUI's output folder, with the workflow inside."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args

from ..miso.errors import MisoError, first_line
from .labels import label
from .sockets import show_on_node

log = logging.getLogger(__name__)


def save(
    filename_prefix: str, hidden: Any, write: Callable[[str, dict[str, str]], None], about: str = ""
) -> list[dict[str, str]]:
    """Save a numbered file by ``write(path, metadata)``, and say on the node where; the files for ``ui``.

    A failure, such as a full disk, is said on the node and logged, and no more: it must not take what was
    sampled from the blocks after this one. ``hidden`` are the block's own inputs ``prompt`` and
    ``extra_pnginfo``; ``about`` ends the line on the node.
    """
    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        os.fsencode(os.path.join(folder, name))
    except Exception as e:  # ComfyUI's own, for a place outside the output folder
        log.error("Miso: not saved as %r: %s", filename_prefix, first_line(e))
        show_on_node(
            f"Not saved: the output folder can't have a file {label(filename_prefix)!r}.", error=True
        )
        return []
    file = f"{name}_{counter:05}_.safetensors"
    metadata = {}
    if not args.disable_metadata:
        workflow = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})}
        metadata = {key: json.dumps(value) for key, value in workflow.items() if value}
    try:
        write(os.path.join(folder, file), metadata)
    except MisoError as e:
        log.error("Miso: %s", e)
        show_on_node(f"Not saved: {e}")
        return []
    show_on_node(f"Saved as output/{Path(subfolder, file).as_posix()}{about}")
    return [{"filename": file, "subfolder": subfolder, "type": "output"}]
