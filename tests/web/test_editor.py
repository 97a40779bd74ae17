"""The Code Editor in the page: selections made by hand become edits, edits live in the workflow, the server
replays them."""

import json

import pytest
import torch
from harness.editor import COLLECT, decoded, prepare

from miso.tools.bootstrap.comfyui import PACK

LIB = f"/extensions/{PACK}/lib"

TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"
# ComfyUI's own undo, which makes all nodes anew
UNDO = f"async () => {{ {TRACKER}.checkState(); await {TRACKER}.undo(); }}"


@pytest.fixture
def hands(browser_page, server):
    yield prepare(browser_page, server)
    assert not browser_page.errors


def test_a_dragged_selection_is_deleted_and_the_edit_outlives_the_page(hands):
    before = hands.run()
    assert before.frames == 50
    hands.drag(0.2, 0.5)
    assert hands.status.startswith("Frames 10–24 (1.20 s) of 50")
    hands.press("Delete")
    assert hands.edits == [{"op": "delete", "start": 10, "end": 25}] and "of 35 (2.80 s)" in hands.status
    after = hands.run()
    assert after.frames == 35 and after.tensor.equal(
        torch.cat((before.tensor[..., :10], before.tensor[..., 25:]), 2)
    )
    assert "MisoBackboneSampler" not in hands.page.evaluate(
        "() => window.misoRan"
    )  # only the editor and what follows ran
    assert "MisoCodeEditor" in hands.page.evaluate("() => window.misoRan")

    saved = json.loads(hands.page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    hands.browser.reload()
    hands.browser.load(saved)
    hands.page.evaluate(COLLECT)
    assert hands.edits == [{"op": "delete", "start": 10, "end": 25}] and "of 35 (2.80 s)" in hands.status
    hands.page.evaluate(
        "() => { app.graph.nodes.find(n => n.type === 'MisoSaveCodes').widgets[0].value = 'codes/again' }"
    )
    again = hands.run()
    assert again.tensor.equal(after.tensor) and "of 35" in hands.status
    assert hands.page.evaluate("() => window.misoRan.filter(n => n === 'MisoBackboneSampler').length") == 0


def test_the_keyboard_alone_edits(hands):
    before, nodes = hands.run().tensor, hands.page.evaluate("() => app.graph.nodes.length")
    hands.timeline.focus()
    hands.press("Home", *["ArrowRight"] * 4, *["Shift+ArrowRight"] * 6)
    assert hands.status.startswith("Frames 4–9")
    hands.press("Control+x")  # cut and paste make one move
    assert hands.edits == [{"op": "delete", "start": 4, "end": 10}]
    hands.press("End", "Control+v")
    assert hands.edits == [{"op": "move", "start": 4, "end": 10, "to": 50}]
    hands.press("Control+z", "Control+z")
    assert hands.edits == [] and "of 50" in hands.status
    hands.press("Control+y", "Control+y")
    assert hands.edits == [{"op": "move", "start": 4, "end": 10, "to": 50}]
    hands.press("Home", "Shift+ArrowRight", "Shift+ArrowRight", "r", "Control+c", "End", "Control+v")
    assert hands.edits[1:] == [
        {"op": "repeat", "start": 0, "end": 2, "times": 1},
        {"op": "copy", "start": 0, "end": 2, "to": 52},
    ]  # the first of two alike
    made = hands.run().tensor
    moved = torch.cat((before[..., :4], before[..., 10:], before[..., 4:10]), 2)
    assert made.equal(torch.cat((moved[..., :2], moved, moved[..., :2]), 2))
    assert hands.page.evaluate("() => app.graph.nodes.length") == nodes  # no key reached the graph


def test_marks_stay_last_and_move_with_their_frame(hands):
    hands.run()
    hands.timeline.focus()
    hands.press("End", *["ArrowLeft"] * 10, "p")
    assert hands.edits == [{"op": "resample_from", "frame": 40}]
    hands.drag(0.2, 0.5)
    hands.press("Delete")
    assert hands.edits == [{"op": "delete", "start": 10, "end": 25}, {"op": "resample_from", "frame": 25}]
    assert hands.run().frames == 35
    hands.timeline.focus()
    hands.press("Home", "d")
    assert "unedited" in hands.status and len(hands.edits) == 2


def test_a_second_clip_is_inserted_from(hands):
    hands.page.evaluate("""() => {
      const of = type => app.graph.nodes.find(n => n.type === type), editor = of('MisoCodeEditor'), other = LiteGraph.createNode('MisoTrimCodes');
      app.graph.add(other);
      other.pos = [0, 1500];
      other.widgets[0].value = 30;
      of('MisoBackboneSampler').connect(0, other, 0);
      other.connect(0, editor, editor.inputs.findIndex(i => i.name === 'other')); }""")
    before = hands.run().tensor
    hands.page.get_by_role("button", name="Show the second codes, to copy from").click()
    second = hands.page.locator("canvas.miso-timeline").nth(1)
    second.focus()
    hands.press("Home", *["Shift+ArrowRight"] * 5, "Control+c")
    assert hands.status.startswith("Frames 0–4 (0.40 s) of 20")
    hands.page.get_by_role("button", name="Show the second codes, to copy from").click()
    hands.timeline.focus()
    hands.press("Home", "ArrowRight", "Control+v")
    # those frames are in the first codes too, but come from the second: one cannot tell by the codes
    assert hands.edits == [{"op": "insert", "at": 1, "start": 0, "end": 5}]
    hands.press("Home", *["Shift+ArrowRight"] * 1)
    hands.page.get_by_text("Codebooks ▾").click()
    hands.page.get_by_role("button", name="Replace the selection's codebooks").click()
    assert hands.edits[1] == {"op": "replace_codebooks", "start": 0, "end": 1, "first": 1, "from": 0}
    made = hands.run().tensor
    assert made.shape[2] == 55 and made[..., 1:6].equal(before[..., 30:35])
    assert made[0, 0, 0] == before[0, 0, 0] and made[0, 1:, 0].equal(before[0, 1:, 30])


def test_takes_and_codebooks(browser_page, server):
    hands = prepare(browser_page, server, takes=2)
    both = hands.run().tensor
    hands.page.get_by_label("Take", exact=True).select_option("1")
    assert not hands.page.get_by_label("Codebooks to keep").is_visible()  # in a menu
    hands.page.get_by_text("Codebooks ▾").click()
    hands.page.get_by_label("Codebooks to keep").fill("3")
    hands.page.get_by_role("button", name="Keep the first codebooks only").click()
    assert not hands.page.get_by_label("Codebooks to keep").is_visible()
    assert hands.edits == [{"op": "take", "take": 1}, {"op": "keep_codebooks", "count": 3}]
    assert hands.run().tensor.equal(both[1:, :3])
    assert not browser_page.errors


def test_enlarged_and_back(hands):
    hands.run()
    hands.page.get_by_role("button", name="Enlarge the editor, or put it back into the node").click()
    box = hands.page.locator("dialog.miso-dialog").bounding_box()
    assert box["width"] > 1200 and hands.timeline.bounding_box()["width"] > 1100
    hands.drag(0.0, 0.2)
    hands.press("Delete")
    assert hands.edits == [{"op": "delete", "start": 0, "end": 10}]
    assert hands.page.get_by_text("1 edit", exact=True).is_visible()
    hands.page.get_by_role("button", name="Take edit 1 away").click()
    assert hands.edits == []
    hands.page.get_by_role("button", name="Enlarge the editor, or put it back into the node").click()
    assert hands.page.locator("dialog.miso-dialog").count() == 0
    hands.timeline.wait_for(state="visible")


def test_the_selection_can_be_heard(hands):
    hands.run()
    hands.browser.listen()
    decoded(hands.page)
    hands.drag(0.0, 0.2)
    hands.press("Space")
    hands.page.wait_for_function("() => window.misoHeard.length === 1")
    assert hands.page.evaluate("() => window.misoHeard[0].length") == 10 * 1920


def test_works_in_vue_nodes(hands):
    hands.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    try:
        hands.page.wait_for_selector("[data-node-id]")
        hands.run()
        before = hands.page.locator(".miso-editor").bounding_box()
        hands.timeline.focus()
        hands.press("Home", "Shift+ArrowRight", "Delete")
        assert hands.edits == [{"op": "delete", "start": 0, "end": 1}]
        assert hands.run().frames == 49
        assert hands.page.locator(".miso-editor").bounding_box()["height"] == pytest.approx(
            before["height"], abs=1
        )  # no jump
        hands.page.evaluate(UNDO)
        assert hands.edits == []
        hands.page.wait_for_function(
            "() => / of 50 /.test(document.querySelector('.miso-editor [role=status]').textContent)"
        )
        hands.timeline.focus()
        hands.press("Home", "Shift+ArrowRight", "Delete")
        assert hands.edits == [{"op": "delete", "start": 0, "end": 1}]
    finally:
        hands.page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


def test_undo_of_the_page_finds_what_a_run_from_the_cache_gave(hands):
    """Such a run is over before the page has read the answer to its request, and its undo then lacks the
    outputs."""
    hands.run()
    hands.page.evaluate("""() => { const { api } = window.comfyAPI.api, queue = api.queuePrompt;
      api.queuePrompt = async (...a) => { const ended = new Promise(done => api.addEventListener('execution_success', done, {once: true}));
        const answer = await queue.apply(api, a); await ended; return answer; }; }""")
    saved = hands.page.evaluate("() => JSON.stringify(app.graph.serialize())")
    hands.browser.load(json.loads(saved))  # a workflow that wasn't run yet
    hands.run()
    assert hands.page.evaluate("() => window.misoRan") == []
    assert not hands.page.evaluate(f"() => Object.keys({TRACKER}.nodeOutputs ?? {{}}).length")
    hands.timeline.focus()
    hands.press("Home", "Shift+ArrowRight", "Delete")
    hands.page.evaluate(UNDO)
    assert hands.edits == [] and " of 50 " in hands.status
    hands.timeline.focus()
    hands.press("Home", "Shift+ArrowRight", "Delete")
    assert hands.edits == [{"op": "delete", "start": 0, "end": 1}]


def test_three_minutes_take_little_more_than_ten_seconds(browser_page):
    """An edit and a redraw at the enlarged size, of 18 times the frames: neither may grow faster than the
    frames do."""
    times = browser_page.page.evaluate(
        """async lib => {
      const [{ Timeline }, { codeMap }, { Peaks }, { strip, replay }, { wordsIn }, clips] =
        await Promise.all(['timeline', 'codemap', 'waveform', 'edits', 'words', 'clip'].map(name => import(`${lib}/${name}.js`)));
      const measure = T => {
      const K = 32, codes = Int16Array.from({length: T * K}, (_, i) => (i * 7919) % 2048), bytes = new Uint8Array(codes.buffer);
      let text = ''; for (const b of bytes) text += String.fromCharCode(b);
      const sent = {frames: T, codebooks: K, codebook_size: 2048, frame_rate: 12.5, codes: btoa(text), sound: null,
        words: Array.from({length: T / 5 | 0}, (_, i) => ({start: 5 * i + 0.4, end: 5 * i + 4.6, text: `word${i}`, low: i % 7 === 0})),
        spans: Array.from({length: T / 50 | 0}, (_, i) => ({start: 50 * i, end: 50 * i + 50, text: `Sentence number ${i}.`, speaker: 0}))};
      const clip = new clips.Clip(sent);
      clip.peaks = new Peaks(240); clip.peaks.append(Float32Array.from({length: T * 1920}, (_, i) => Math.sin(i / 50) * Math.sin(i / 90000)));
      const timeline = new Timeline({onselect() {}, snaps: () => true});
      timeline.canvas.style.cssText = 'position:fixed; left:0; top:0; width:1500px; height:600px';
      document.body.append(timeline.canvas);
      const drawn = [], edited = [];
      for (let i = 0; i < 12; i++) {
        const edits = Array.from({length: i}, (_, j) => ({op: 'move', start: 5 * j, end: 5 * j + 4, to: T - 10}));
        let began = performance.now();
        const { codes } = replay(clip.strip, edits, null);
        timeline.show({frames: T, rate: 12.5, map: codeMap(codes.ids, K, 2048), wave: clips.wave(codes.refs, [clip]),
          segments: clips.segments(codes.refs, [clip]), words: wordsIn(codes.refs, [clip]), seams: clips.seams(codes.refs), marks: []});
        edited.push(performance.now() - began);
        timeline.select(T * 0.05 | 0, T * 0.4 | 0);
        if (i % 3 === 2) timeline.zoom(0.5, 700);
        began = performance.now();
        timeline.drawNow();
        timeline.canvas.getContext('2d').getImageData(0, 0, 1, 1);  // waits for the rasteriser
        drawn.push(performance.now() - began);
      }
      timeline.canvas.remove(); timeline.close();
      const median = list => list.toSorted((a, b) => a - b)[list.length >> 1];
      return {drawn: median(drawn), edited: median(edited)}; };
      measure(125);  // warms the code up
      const short = measure(125), long = measure(2250);
      return {drawn: long.drawn / short.drawn, edited: long.edited / short.edited}; }""",
        LIB,
    )
    assert times["drawn"] < 9 and times["edited"] < 36, times


def test_a_removed_editor_is_forgotten(hands, browser_context):
    hands.page.evaluate("""() => { window.misoContexts = []; const Made = AudioContext;
      window.AudioContext = class extends Made { constructor(...a) { super(...a); window.misoContexts.push(this); } }; }""")
    hands.run()
    decoded(hands.page)
    hands.timeline.focus()
    hands.press("Space")
    hands.page.wait_for_function("() => window.misoContexts.length === 1")
    hands.page.evaluate("""() => { window.misoRef = new WeakRef(document.querySelector('.miso-editor'));
      app.graph.remove(app.graph.nodes.find(n => n.type === 'MisoCodeEditor')); }""")
    hands.page.wait_for_function("() => !document.querySelector('.miso-editor')")
    assert hands.page.evaluate("() => window.misoContexts.map(c => c.state)") == ["closed"]
    collector = browser_context.new_cdp_session(hands.page)
    for _ in range(20):
        collector.send("HeapProfiler.collectGarbage")
        if hands.page.evaluate("() => window.misoRef.deref() === undefined"):
            break
        hands.page.wait_for_timeout(100)
    assert hands.page.evaluate("() => window.misoRef.deref() === undefined")
