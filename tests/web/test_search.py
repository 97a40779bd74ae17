"""People find the blocks by the words they would use, in ComfyUI's own search."""

import contextlib

import pytest
from playwright.sync_api import TimeoutError

WORDS = [
    "tts",
    "speech",
    "text to speech",
    "voice",
    "clone",
    "dialogue",
    "speak",
    "say",
    "csm",
    "sesame",
    "podcast",
    "pause",
]
# of older pages, and of newer ones
BOX = ".comfy-vue-node-search-container input, [role=dialog] input"
RESULTS = ".comfy-vue-node-search-container li, .comfy-vue-node-search-container [role=option], [data-testid=result-item]"
FOUND = f"() => [...document.querySelectorAll('{RESULTS}')].map(e => e.textContent)"


@pytest.fixture(scope="module")
def search(browser_context, server):
    """``search(words)``: what the node search shows for them."""
    from harness.page import Page

    page = Page(browser_context.new_page(), server.url).page
    page.evaluate("() => app.graph.clear()")
    page.mouse.dblclick(800, 500)
    box = page.locator(BOX).first
    box.wait_for()

    def search(words: str) -> list[str]:
        box.fill("")
        box.press_sequentially(words)
        with contextlib.suppress(TimeoutError):  # then the test says what is shown instead
            page.wait_for_function(
                f"() => ({FOUND})().slice(0, 10).some(text => text.includes('miso-codes'))"
            )
        return page.evaluate(FOUND)

    yield search
    page.close()


@pytest.mark.parametrize("words", WORDS)
def test_the_search_finds_the_blocks(search, words):
    shown = search(words)
    assert any("miso-codes" in text for text in shown[:10]), shown
