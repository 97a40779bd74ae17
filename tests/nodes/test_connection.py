"""A browser that goes away in the middle of a run: the run goes on, and what it made is there."""

import time

from harness.graphs import graph

from miso.codes.codes import Codes

PROMPT = graph(n3__seed=4711, n3__takes=1, n3__max_seconds=4.0, n3__preview=["4", 0])


def finished(client, prompt_id: str, seconds: float = 120) -> dict:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if done := client.get(f"/history/{prompt_id}"):
            return done[prompt_id]
    raise TimeoutError(prompt_id)


def test_a_page_that_is_gone_costs_nothing(server, client):
    """Cut while sound is streamed to it: the run ends as any other, and the next one is not disturbed."""
    cut = finished(client, client.leave(PROMPT, "miso.preview.audio"))
    assert cut["status"]["status_str"] == "success", cut["status"]
    assert Codes.load(server.file(cut["outputs"]["7"]["codes"][0])).frames == 50
    again = client.run(PROMPT)
    assert again.ok and "3" not in again.ran, "the take was kept"
