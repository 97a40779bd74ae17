"""What in the Code Editor serves the ear: quiet places, silence, the waveform, and what is to be said anew."""

import io
import json
import wave

import pytest
import torch
from harness.editor import decoded, prepare


@pytest.fixture
def hands(browser_page, server):
    yield prepare(browser_page, server)
    assert not browser_page.errors


def test_resampling_says_which_wire_is_missing_and_points_to_it(hands):
    place = """() => { const n = app.graph.nodes.find(n => n.type === 'MisoCodeEditor'), box = app.canvas.canvas.getBoundingClientRect();
      const [x, y] = app.canvas.ds.convertOffsetToCanvas(n.getConnectionPos(false, 1));
      const ring = document.querySelector('.miso-pointer').getBoundingClientRect();
      return [box.left + x - ring.left - ring.width / 2, box.top + y - ring.top - ring.height / 2]; }"""
    hands.run()
    hands.timeline.focus()
    hands.press("End", *["ArrowLeft"] * 10, "p")
    assert "Connect the editor's prefix output to a Backbone Sampler's prefix." in hands.notice.inner_text()
    assert max(map(abs, hands.page.evaluate(place))) < 3
    hands.page.evaluate("""() => { const sampler = LiteGraph.createNode('MisoBackboneSampler'), editor = app.graph.nodes.find(n => n.type === 'MisoCodeEditor');
      app.graph.add(sampler); sampler.pos = [0, 1500];
      editor.connect(1, sampler, sampler.inputs.findIndex(i => i.name === 'prefix')); }""")
    assert not hands.notice.is_visible()
    hands.page.wait_for_function("() => !document.querySelector('.miso-pointer')")
    hands.press("p", "p")  # marked anew, and connected
    assert not hands.notice.is_visible() and hands.page.locator(".miso-pointer").count() == 0


def test_it_points_in_vue_nodes_too(hands):
    hands.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    try:
        hands.page.wait_for_selector("[data-node-id]")
        hands.run()
        hands.timeline.focus()
        hands.press("Home", "ArrowRight", "p")
        ring = hands.page.locator(".miso-pointer").bounding_box()
        name = hands.page.locator("[data-node-id]:has(.miso-editor)").get_by_text("prefix", exact=True)
        label = name.bounding_box()
        assert abs(ring["y"] + ring["height"] / 2 - label["y"] - label["height"] / 2) < 4
        assert 0 < ring["x"] + ring["width"] / 2 - label["x"] - label["width"] < 30
    finally:
        hands.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_dragged_boundaries_find_the_quiet(hands):
    """Sound that is silent around frames 11 and 27: a drag from 12 to 25 snaps there, unless that is switched off."""
    hands.page.route(
        "**/view?*",
        lambda route: route.fulfill(body=quiet_around(50, 11, 27), content_type="audio/wav"),
    )
    hands.run()
    decoded(hands.page)
    hands.drag(0.24, 0.5)
    assert hands.status.startswith("Frames 12–24")
    hands.page.get_by_label("Snap").check()
    hands.drag(0.24, 0.5)
    assert hands.status.startswith("Frames 11–26")
    # and a take that whispers is drawn as high as one that shouts
    tall = hands.timeline.evaluate("""canvas => { const {width, height} = canvas, {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
      const wave = [0x2f, 0x8f, 0xd8], rows = new Set();
      for (let i = 0; i < data.length; i += 4) if (wave.every((x, c) => Math.abs(data[i + c] - x) < 3)) rows.add(Math.floor(i / 4 / width));
      return rows.size / height; }""")
    assert tall > 0.3


def quiet_around(frames: int, *silent: int) -> bytes:
    """A quiet tone as a WAV file, silent for a frame's length around the beginnings of these frames."""
    samples = 0.02 * torch.sin(torch.arange(frames * 1920) / 7)
    for frame in silent:
        samples[frame * 1920 - 960 : frame * 1920 + 960] = 0
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes((samples * 32767).short().numpy().tobytes())
    return data.getvalue()


def test_the_code_map_can_be_hidden_for_good(hands):
    colours = """canvas => { const {width, height} = canvas, {data} = canvas.getContext('2d').getImageData(0, Math.floor(height * 0.97), width, 1);
      return new Set(Array.from({length: width}, (_, x) => data.slice(4 * x, 4 * x + 3).join())).size; }"""
    hands.run()
    decoded(hands.page)
    hands.page.wait_for_function(f"() => ({colours})(document.querySelector('canvas.miso-timeline')) > 20")
    hands.page.get_by_label("Code map").uncheck()
    hands.page.wait_for_function(f"() => ({colours})(document.querySelector('canvas.miso-timeline')) < 10")
    saved = json.loads(hands.page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    hands.browser.load(saved)
    assert not hands.page.get_by_label("Code map").is_checked()


def test_silence_is_disabled_and_says_why(hands):
    assert hands.run() is not None
    assert hands.button("Insert silence at the cursor").is_enabled()
    hands.page.evaluate("""() => { const n = app.graph.nodes.find(n => n.type === 'MisoCodeEditor');
      n.disconnectInput(n.inputs.findIndex(i => i.name === 'vocoder')); }""")
    hands.browser.run()
    silence = hands.page.locator(".miso-editor button[aria-keyshortcuts=S]")
    hands.page.wait_for_function(
        "() => document.querySelector('.miso-editor button[aria-keyshortcuts=S]').disabled"
    )
    assert "Silence needs a codec. Connect a codec" in silence.get_attribute("title")
    hands.timeline.focus()
    hands.press("s")
    assert "Silence needs a codec" in hands.status and hands.edits == []
