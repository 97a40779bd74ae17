"""A client of a live ComfyUI, over HTTP and the websocket, as a browser is one."""

import asyncio
import json
import operator
import struct
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp

from .run import Run

ENDS = ("execution_success", "execution_error", "execution_interrupted")


class Client:
    def __init__(self, url: str):
        self.url = url
        self._thread = ThreadPoolExecutor(
            1, "client"
        )  # the test's own thread may hold Playwright's event loop

    def run(
        self, prompt: dict, on_event: Callable[[str, dict], Any] | None = None, seconds: float = 120
    ) -> Run:
        """Queue a prompt in API format and follow it to its end.

        ``on_event(type, data)`` sees each event as it comes.
        """
        return self._in_thread(self._run(prompt, on_event or (lambda event, data: None), seconds))

    def leave(self, prompt: dict, event: str) -> str:
        """Queue a prompt as a page does, and be gone without a word at the first such event; the prompt's id."""
        return self._in_thread(self._leave(prompt, event))

    def get(self, path: str) -> Any:
        """JSON by path."""
        return json.loads(self._in_thread(self._request("GET", path)))

    def post(self, path: str, body: dict) -> bytes:
        """For example ``/interrupt`` or ``/free``."""
        return self._in_thread(self._request("POST", path, json=body))

    def view(self, saved: dict) -> bytes:
        """The content of a file that an output node has reported."""
        return self._in_thread(self._request("GET", "/view", params=saved))

    def upload(self, path: Path) -> str:
        """Put a file into ComfyUI's input folder; the name it has there."""
        form = aiohttp.FormData()
        form.add_field(
            "image", path.read_bytes(), filename=path.name
        )  # the field's name, whatever the file is
        return json.loads(self._in_thread(self._request("POST", "/upload/image", data=form)))["name"]

    def _in_thread(self, work) -> Any:
        return self._thread.submit(asyncio.run, work).result()

    async def _request(self, method: str, path: str, **content: Any) -> bytes:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            async with session.request(method, self.url + path, **content) as reply:
                return await reply.read()

    async def _leave(self, prompt: dict, event: str) -> str:
        client = uuid.uuid4().hex
        async with aiohttp.ClientSession(self.url) as session:
            ws = await session.ws_connect(f"/ws?clientId={client}", max_msg_size=0)
            async with session.post("/prompt", json={"prompt": prompt, "client_id": client}) as reply:
                queued = (await reply.json())["prompt_id"]
            while True:
                message = await ws.receive(60)
                if message.type == aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == event:
                    ws._response.connection.transport.abort()  # without closing the connection
                    return queued

    async def _run(self, prompt: dict, on_event: Callable[[str, dict], Any], seconds: float) -> Run:
        client, run = uuid.uuid4().hex, Run("", {})
        deadline = time.monotonic() + seconds
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.ws_connect(f"/ws?clientId={client}", max_msg_size=0) as ws,
        ):
            await ws.send_json(
                {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
            )  # must come first
            async with session.post("/prompt", json={"prompt": prompt, "client_id": client}) as reply:
                body = await reply.json()
                if reply.status != 200:
                    return Run("rejected", body)
            prompt_id = body["prompt_id"]
            while run.end not in ENDS:
                message = await ws.receive(max(0.01, deadline - time.monotonic()))
                if message.type == aiohttp.WSMsgType.BINARY:
                    _take_preview(message.data, run)
                    continue
                event, detail = operator.itemgetter("type", "data")(json.loads(message.data))
                if detail.get("prompt_id") != prompt_id:
                    continue
                run.events.append((event, detail))
                if event == "executing" and detail["node"]:
                    run.ran.append(detail["node"])
                elif event == "execution_cached":
                    run.cached = detail["nodes"]
                elif event in ENDS:
                    run.end, run.detail = event, detail
                on_event(event, detail)
            while time.monotonic() < deadline:  # the end is announced a moment before the history has it
                async with session.get(f"/history/{prompt_id}") as reply:
                    history = await reply.json()
                if history:
                    run.outputs = history[prompt_id]["outputs"]
                    return run
                await asyncio.sleep(0.01)
        raise TimeoutError(f"no history of {prompt_id} after {seconds} s")


def _take_preview(data: bytes, run: Run) -> None:
    kind, length = struct.unpack_from(">II", data)
    if kind == 4:  # an image with metadata
        run.previews.append((json.loads(data[8 : 8 + length]), data[8 + length :]))
