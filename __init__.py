"""Miso for ComfyUI: text to codes to sound as separate blocks of the graph."""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
