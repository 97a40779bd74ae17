"""ComfyUI inside the test's own process: real loading, validation and execution in milliseconds, no port.

There can be one only, ComfyUI being modules full of globals. Its calls run in one thread of their own, as in
the server (and because a thread in which Playwright runs already has an event loop, which ComfyUI wants to
make itself).
"""

import asyncio
import importlib
import inspect
import json
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from .run import Run


class InProcess:
    def __init__(self, comfyui: Path, base: Path, pack: Path):
        self.base, self._pack, self._thread = base, pack, ThreadPoolExecutor(1, "comfyui")
        self.on_progress: Callable[[int, int], None] = lambda value, total: (
            None
        )  # called at each step of a ProgressBar
        self._events: list[tuple[str, dict]] = []
        self._thread.submit(self._load, comfyui).result()

    def run(self, prompt: dict) -> Run:
        """Validate and execute a prompt in API format."""
        return self._thread.submit(self._run, json.loads(json.dumps(prompt))).result()

    def value(self, node: str | int, slot: int = 0) -> Any:
        """What a node of the last run gave out of a socket."""
        return self.values(node, slot)[0]

    def values(self, node: str | int, slot: int = 0) -> list:
        """All that a node of the last run gave out of a socket that is a list."""
        return self._outputs(node)[slot]

    def load_blocks(self, name: str) -> None:
        """Load a file of ComfyUI's own blocks, such as ``nodes_preview_any.py``."""
        assert self._thread.submit(asyncio.run, self._load_blocks(name)).result()

    def replace(self, node: str | int, value: Any, slot: int = 0) -> None:
        """Have a node whose result is cached give this out of a socket instead."""
        self.values(node, slot)[0] = value

    def reset(self, cache: str = "CLASSIC", **sizes: int) -> None:
        """Forget all results. ``cache``: CLASSIC, LRU (``lru=20``), NONE or RAM_PRESSURE, ComfyUI's CacheType."""
        kind = getattr(self.execution.CacheType, cache)
        self.executor = self.execution.PromptExecutor(
            # ComfyUI wants all sizes, of whatever kind the cache is; which there are depends on its version
            self.server,
            cache_type=kind,
            cache_args={"lru": 0, "ram": 0, "ram_inactive": 0, **sizes},
        )

    def module(self, name: str = "") -> ModuleType:
        """A module of the pack as ComfyUI has loaded it, such as ``miso.codes``: not the test's own import."""
        root = str(self._pack).replace(".", "_x_")
        return importlib.import_module(f"{root}.{name}" if name else root)

    @property
    def object_info(self) -> dict:
        """Declared inputs of all loaded blocks, shaped as ``/object_info`` gives them."""
        return {
            name: {"input": block.INPUT_TYPES()} for name, block in self.nodes.NODE_CLASS_MAPPINGS.items()
        }

    def _outputs(self, node: str | int) -> list[list]:
        found = self.executor.caches.outputs.get(str(node))
        if inspect.isawaitable(found):  # newer ComfyUIs

            async def wait() -> Any:
                return await found

            found = self._thread.submit(asyncio.run, wait()).result()
        return found.outputs

    def _load(self, comfyui: Path) -> None:
        sys.path.insert(0, str(comfyui))
        from comfy.cli_args import args

        # before folder_paths is imported, which acts on it; a front_end_root spares the frontend package
        args.cpu, args.base_directory, args.front_end_root = True, str(self.base), str(self.base)
        importlib.import_module(
            "utils.install_util"
        )  # before nodes, which puts a folder with another utils in front
        import comfy.model_management
        import comfy.utils
        import execution
        import server

        import nodes

        self.execution, self.nodes, self.model_management = execution, nodes, comfy.model_management
        loop = asyncio.new_event_loop()
        self.server = server.PromptServer(loop)
        self.server.client_id = "test"
        self.server.send_sync = lambda event, data, sid=None: self._events.append((event, data))
        comfy.utils.set_progress_bar_global_hook(self._progress)
        # newer ComfyUIs pass on ten steps a second; tests count them all
        comfy.utils.PROGRESS_THROTTLE_MIN_INTERVAL = comfy.utils.PROGRESS_THROTTLE_MIN_PERCENT = 0
        loop.run_until_complete(self._load_nodes())
        self.reset()

    async def _load_blocks(self, name: str) -> bool:
        path = Path(self.nodes.__file__).parent / "comfy_extras" / name
        return await self.nodes.load_custom_node(str(path), module_parent="comfy_extras")

    async def _load_nodes(self) -> None:
        await self.nodes.init_public_apis()
        assert await self._load_blocks("nodes_audio.py")
        assert await self.nodes.load_custom_node(str(self._pack)), (
            "the pack does not load in ComfyUI: its log says why"
        )

    def _progress(self, value, total, preview, prompt_id=None, node_id=None) -> None:
        self.model_management.throw_exception_if_processing_interrupted()
        self._events.append(("progress", {"value": value, "max": total}))
        self.on_progress(value, total)

    def _run(self, prompt: dict) -> Run:
        prompt_id = uuid.uuid4().hex
        self._events.clear()
        valid, error, targets, node_errors = asyncio.run(
            self.execution.validate_prompt(prompt_id, prompt, None)
        )
        if not valid:
            return Run("rejected", {"error": error, "node_errors": node_errors})
        self.executor.execute(prompt, prompt_id, {"client_id": "test"}, targets)
        end, detail = self.executor.status_messages[-1]
        cached = next(
            (data["nodes"] for event, data in self.executor.status_messages if event == "execution_cached"),
            [],
        )
        return Run(
            end,
            detail,
            cached=list(cached),
            events=list(self._events),
            ran=[data["node"] for event, data in self._events if event == "executing" and data["node"]],
            outputs={data["node"]: data["output"] for event, data in self._events if event == "executed"},
        )
