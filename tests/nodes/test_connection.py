"""A browser that goes away in the middle of a run: the run goes on, and what it made is there."""

import asyncio
import json
import time
import uuid

import aiohttp
from harness.graphs import graph

from miso.codes.codes import Codes


async def leave_after(url: str, prompt: dict, event: str) -> str:
    """Queue a prompt as a page does and cut the connection at the first such event, without closing it."""
    client = uuid.uuid4().hex
    async with aiohttp.ClientSession(url) as session:
        ws = await session.ws_connect(f"/ws?clientId={client}", max_msg_size=0)
        async with session.post("/prompt", json={"prompt": prompt, "client_id": client}) as reply:
            queued = (await reply.json())["prompt_id"]
        while True:
            message = await ws.receive(60)
            if message.type == aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == event:
                ws._response.connection.transport.abort()
                return queued


def finished(client, prompt_id: str, seconds: float = 120) -> dict:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if done := client.get(f"/history/{prompt_id}"):
            return done[prompt_id]
    raise TimeoutError(prompt_id)


def test_a_page_that_is_gone_costs_nothing(server, client):
    """Cut while sound is streamed to it: the run ends as any other, and the next one is not disturbed."""
    prompt = graph(n3__seed=4711, n3__takes=1, n3__max_seconds=4.0, n3__preview=["4", 0])
    cut = finished(client, asyncio.run(leave_after(server.url, prompt, "miso.preview.audio")))
    assert cut["status"]["status_str"] == "success", cut["status"]
    codes = Codes.load(server.file(cut["outputs"]["7"]["codes"][0]))
    assert codes.frames == 50
    again = client.run(graph(n3__seed=4711, n3__takes=1, n3__max_seconds=4.0, n3__preview=["4", 0]))
    assert again.ok and "3" not in again.ran, "the take was kept"
