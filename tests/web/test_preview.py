"""The live view of the sampler: sound arrives while it is made and is the sound that is decoded afterwards."""

import base64
import json

import numpy as np
import pytest

from miso.audio.files import read_audio
from miso.tools.bootstrap import ROOT
from miso.tools.bootstrap.comfyui import PACK

CONNECT = """([takes, seconds]) => {
  const of = type => app.graph.nodes.find(n => n.type === type), sampler = of('MisoBackboneSampler');
  of('MisoLoadVocoder').connect(0, sampler, sampler.inputs.findIndex(i => i.name === 'preview'));
  for (const [name, value] of Object.entries({seed: Math.floor(Math.random() * 1e9), takes, max_seconds: seconds}))
    sampler.widgets.find(w => w.name === name).value = value;
}"""
COLLECT = """() => { window.misoEvents = [];
  for (const type of ['miso.preview', 'miso.preview.audio', 'executing', 'executed', 'execution_cached', 'execution_success'])
    misoOn(type, e => window.misoEvents.push([type, e.detail, performance.now()])); }"""


@pytest.fixture
def sampler(browser_page):
    """The text_to_speech workflow with the vocoder connected to the sampler's preview, events being
    collected."""
    browser_page.load_tiny(ROOT / "workflows" / "text_to_speech.json")
    browser_page.page.evaluate(CONNECT, [1, 6.4])
    browser_page.page.evaluate(COLLECT)
    return browser_page


def events(page, kind: str) -> list[tuple[int, dict, float]]:
    return [
        (place, data, when)
        for place, (name, data, when) in enumerate(page.page.evaluate("() => window.misoEvents"))
        if name == kind
    ]


def test_chunks_arrive_before_the_end_and_are_the_finished_sound(sampler, server):
    assert sampler.run()[0] == "execution_success"
    chunks = [data for _, data, _ in events(sampler, "miso.preview.audio")]
    next_node = [
        place
        for place, data, _ in events(sampler, "executing")
        if place > events(sampler, "miso.preview.audio")[0][0]
    ][0]
    before = [place for place, *_ in events(sampler, "miso.preview.audio") if place < next_node]
    assert len(before) == len(chunks) >= 10
    assert [c["sequence"] for c in chunks] == list(range(len(chunks)))
    assert [c["start"] for c in chunks] == [0, *(c["end"] for c in chunks[:-1])]
    heard = np.concatenate([np.frombuffer(base64.b64decode(c["pcm"]), "<i2") for c in chunks]) / 32767
    saved = next(
        data["output"]["audio"][0] for _, data, _ in events(sampler, "executed") if "audio" in data["output"]
    )
    final = read_audio(server.file(saved))[0].numpy()
    assert heard.shape == final.shape and np.abs(heard - final).max() < 1e-3 and np.abs(final).max() > 0.01

    counts = [data for _, data, _ in events(sampler, "miso.preview")]
    assert (
        counts[0]["frame"] == 1
        and counts[-1]["frame"] == 80
        and counts[-1]["stops"] == ["limit"]
        and counts[-1]["speed"] > 0
    )
    assert "80 frames" in sampler.page.locator(".miso").first.inner_text()
    assert not sampler.errors


def test_without_a_vocoder_there_are_counters_alone(sampler):
    sampler.page.evaluate("""() => { const n = app.graph.nodes.find(n => n.type === 'MisoBackboneSampler');
      n.disconnectInput(n.inputs.findIndex(i => i.name === 'preview')); }""")
    assert sampler.run()[0] == "execution_success"
    assert events(sampler, "miso.preview") and not events(sampler, "miso.preview.audio")
    panel = sampler.page.locator(".miso").first
    assert (
        "6.40 s" in panel.inner_text() and "Connect a vocoder to preview to hear this" in panel.inner_text()
    )
    assert not panel.locator("canvas").is_visible()  # no bar that looks like a flat waveform
    assert not panel.get_by_role("button", name="Play the first take again").is_visible()
    sampler.page.evaluate(CONNECT, [1, 6.4])
    assert "Run again to hear this" in panel.inner_text()
    assert sampler.run()[0] == "execution_success"
    assert panel.locator("canvas").is_visible()


def test_the_take_can_be_played_again_also_after_a_reload(sampler):
    page, heard = sampler, "() => window.misoHeard.reduce((n, h) => n + h.length, 0)"
    page.listen()
    page.page.evaluate(CONNECT, [1, 4.0])
    panel = page.page.get_by_role("group", name="Live playback")
    replay = panel.get_by_role("button", name="Play the first take again")
    assert not replay.is_visible()
    assert page.run()[0] == "execution_success"
    assert page.page.evaluate(heard) == 0
    replay.click()
    page.page.wait_for_function(f"() => ({heard})() === 50 * 1920")
    assert replay.inner_text() == "■ Stop"
    page.page.wait_for_function(
        "() => document.querySelector('[aria-label=\"Play the first take again\"]').textContent === '▶ Replay'"
    )
    saved = page.page.evaluate("() => app.graph.serialize()")
    page.reload()
    page.listen()
    page.load(saved)
    panel.get_by_text("50 frames · 4.00 s · time limit").wait_for()
    replay.click()
    page.page.wait_for_function(f"() => ({heard})() === 50 * 1920")
    # a workflow that is opened for the first time shows no other's
    page.load_tiny(ROOT / "workflows" / "text_to_speech.json")
    panel.get_by_text("Not run yet").wait_for()
    assert not page.errors


@pytest.mark.host
def test_a_result_that_comfyui_uses_again_is_shown_on_a_new_page(sampler, browser_context, server):
    from harness.page import Page

    if "has_intermediate_output" not in server.get("/object_info")["MisoBackboneSampler"]:
        pytest.skip("this ComfyUI sends again what output nodes have shown, and no others")
    assert sampler.run()[0] == "execution_success"
    saved = json.loads(sampler.page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    page = Page(browser_context.new_page(), server.url)
    try:
        page.load(saved)
        panel = page.page.get_by_role("group", name="Live playback")
        panel.get_by_text("Not run yet").wait_for()
        assert page.run()[0] == "execution_success"
        panel.get_by_text("80 frames · 6.40 s · time limit").wait_for()
        panel.get_by_role("button", name="Play the first take again").wait_for()
        assert not page.errors
    finally:
        page.page.close()


def test_counts_have_the_prefix_and_a_pace_that_cannot_be_is_flagged(sampler):
    sampler.page.evaluate("""() => {
      const of = type => app.graph.nodes.find(n => n.type === type), sampler = of('MisoBackboneSampler');
      const trim = LiteGraph.createNode('MisoPrefix'), second = LiteGraph.createNode('MisoBackboneSampler');
      of('MisoEncodeText').widgets.find(w => w.name === 'text').value = 'word '.repeat(60);
      for (const node of [trim, second]) app.graph.add(node);
      [trim.pos, second.pos] = [[sampler.pos[0], sampler.pos[1] + 700], [sampler.pos[0] + 400, sampler.pos[1] + 700]];
      for (const name of ['backbone', 'depth', 'conditioning', 'preview']) {
        const link = app.graph.links.get?.(sampler.inputs.find(i => i.name === name).link) ?? app.graph.links[sampler.inputs.find(i => i.name === name).link];
        app.graph.getNodeById(link.origin_id).connect(link.origin_slot, second, second.inputs.findIndex(i => i.name === name));
      }
      const set = (node, values) => { for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value; };
      set(trim, {frames: 10});
      set(sampler, {max_seconds: 1.6}); set(second, {max_seconds: 1.6, seed: 5});
      sampler.connect(0, trim, 0);
      trim.connect(0, second, second.inputs.findIndex(i => i.name === 'prefix'));
      const decode = of('MisoVocoderDecode'); second.connect(0, decode, decode.inputs.findIndex(i => i.name === 'codes')); }""")
    assert sampler.run()[0] == "execution_success"
    first, second = (
        panel.inner_text() for panel in sampler.page.get_by_role("group", name="Live playback").all()
    )
    assert "20 frames · 1.60 s" in first
    assert "30 frames (10 of the prefix) · 2.40 s" in second
    assert "1.6 s for 60 words: the time limit cut it. Raise max_seconds" in first
    assert "2.4 s for 60 words" in second


def test_sound_is_off_until_asked_for_then_starts_at_once_without_gaps(sampler):
    page = sampler
    page.listen()
    page.page.evaluate(CONNECT, [1, 8.0])
    assert page.run()[0] == "execution_success"
    assert page.page.evaluate("() => window.misoHeard.length") == 0
    switch = page.page.get_by_role("button", name="Play the first take while it is made")
    switch.click()
    assert switch.get_attribute("aria-pressed") == "true"
    page.page.evaluate(CONNECT, [1, 8.0])
    page.page.evaluate("() => { window.misoEvents.length = 0 }")
    assert page.run()[0] == "execution_success"
    page.page.wait_for_function("() => window.misoHeard.reduce((n, h) => n + h.length, 0) === 100 * 1920")
    heard = page.page.evaluate("() => window.misoHeard")
    first = events(page, "miso.preview.audio")[0][1]
    # the first chunk is played by itself, half a second after it came at most
    assert heard[0]["length"] == first["end"] - first["start"] and heard[0]["when"] - heard[0]["now"] < 0.5
    for one, two in zip(
        heard, heard[1:]
    ):  # the next begins where the one before ends, unless it came too late for that
        end = one["when"] + one["length"] / one["rate"]
        assert two["when"] >= two["now"] and (abs(end - two["when"]) < 1e-6 or end < two["now"] + 0.01)
    # the switch is in the workflow, and not among the widgets
    saved = json.loads(page.page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    node = next(n for n in saved["nodes"] if n["type"] == "MisoBackboneSampler")
    widgets = page.page.evaluate(
        "() => app.graph.nodes.find(n => n.type === 'MisoBackboneSampler').widgets.map(w => w.name)"
    )
    assert (
        node["properties"]["miso_sound"] is True
        and len(node["widgets_values"]) == widgets.index("live") == len(widgets) - 1
    )
    page.load(saved)
    assert (
        page.page.get_by_role("button", name="Play the first take while it is made").get_attribute(
            "aria-pressed"
        )
        == "true"
    )
    assert not page.errors


def test_joins_are_the_sound_itself(browser, server):
    """Rendered by the browser, chunks come out as the sound they were cut from: sample by sample, but for the
    fades at both ends."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(
        f"{server.url}/extensions/{PACK}/miso.css"
    )  # any page of the server's: the player needs nothing of ComfyUI
    rendered = page.evaluate(
        """async url => {
      const { Player } = await import(url);
      const rate = 24000, sound = Float32Array.from({length: rate}, (_, i) => Math.sin(i / 7) * 0.5);
      const context = new OfflineAudioContext(1, 2 * rate, rate), player = new Player(rate, () => context);
      for (let at = 0, n = 1; at < sound.length; at += n, n = 1 + (at * 7919) % 3000)
        player.enqueue(sound.subarray(at, Math.min(sound.length, at + n)));
      player.finish();
      const out = (await context.startRendering()).getChannelData(0), begin = out.findIndex(x => x !== 0) - 1;
      let worst = 0;
      for (let i = 0; i < rate; i++) {
        const fade = Math.min(1, i / 120, (rate - i) / 120);
        worst = Math.max(worst, Math.abs(out[begin + i] - sound[i] * fade));
      }
      return worst; }""",
        f"/extensions/{PACK}/lib/player.js",
    )
    context.close()
    assert rendered < 1e-3


def test_stop_ends_the_run_and_shows_what_was_made(sampler):
    sampler.page.evaluate(CONNECT, [1, 120.0])
    sampler.page.evaluate("""() => { const api = window.comfyAPI.api.api, stop = e => { if (e.detail.frame < 20) return;
      api.removeEventListener('miso.preview', stop); api.interrupt(e.detail.prompt_id); }; api.addEventListener('miso.preview', stop); }""")
    assert sampler.run()[0] == "execution_interrupted"
    last = events(sampler, "miso.preview")[-1][1]
    assert last["stops"] == ["interrupted"] and 20 <= last["frame"] < 500
    assert "interrupted" in sampler.page.locator(".miso").first.inner_text()
    end = events(sampler, "miso.preview.audio")[-1][1]["end"]
    assert end == 1920 * last["frame"]


def test_a_removed_node_leaves_nothing_behind(sampler):
    assert sampler.run()[0] == "execution_success"
    sampler.page.evaluate(
        "() => app.graph.remove(app.graph.nodes.find(n => n.type === 'MisoBackboneSampler'))"
    )
    sampler.page.wait_for_function("() => !document.querySelector('[aria-label=\"Live playback\"]')")
    assert not sampler.errors


def test_shown_in_vue_nodes(sampler):
    sampler.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    try:
        sampler.page.wait_for_selector("[data-node-id]")
        assert sampler.run()[0] == "execution_success"
        sampler.page.wait_for_function("() => /80 frames/.test(document.querySelector('.miso')?.innerText)")
        box, node = (
            sampler.page.locator(at).first.bounding_box()
            for at in (".miso canvas", "[data-node-id]:has(.miso)")
        )
        assert 100 < box["width"] < node["width"] and box["height"] > 20
    finally:
        sampler.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    assert not sampler.errors
