"""Compare Sounds by ear: all sounds in step, switched while they play, and X hidden until it is revealed."""

import pytest
import torch
from harness.access import check

from miso.audio.files import write_audio

BUILD = """names => {
  app.graph.clear();
  const compare = LiteGraph.createNode('MisoCompare');
  app.graph.add(compare);
  compare.pos = [700, 200];
  names.forEach((name, i) => {
    const load = LiteGraph.createNode('LoadAudio');
    app.graph.add(load);
    load.pos = [300, 200 + 200 * i];
    load.widgets.find(w => w.name === 'audio').value = name;
    load.connect(0, compare, i);
  });
  app.canvas.ds.scale = 1; app.canvas.ds.offset = [-200, 0]; app.canvas.draw(true, true); }"""
# what is started, and how loud each is to become
HEARD = """() => { window.misoStarted = []; window.misoGains = [];
  const start = AudioBufferSourceNode.prototype.start, connect = AudioNode.prototype.connect, ramp = AudioParam.prototype.linearRampToValueAtTime;
  AudioBufferSourceNode.prototype.start = function (when) { window.misoStarted.push([this.buffer.sampleRate, this.buffer.length, when]); return start.call(this, when); };
  AudioNode.prototype.connect = function (to, ...rest) {
    if (this instanceof AudioBufferSourceNode && to instanceof GainNode) window.misoGains.push(to.gain);
    return connect.call(this, to, ...rest); };
  AudioParam.prototype.linearRampToValueAtTime = function (level, when) { this.misoLevel = level; return ramp.call(this, level, when); }; }"""
LEVELS = "() => window.misoGains.map(gain => gain.misoLevel)"


@pytest.fixture
def ear(browser_page, server):
    """The view after a run, with 6 s of sound at two rates."""
    for name, rate in (("a.wav", 48_000), ("b.wav", 24_000)):
        write_audio(server.base / "input" / name, torch.rand(1, 6 * rate) * 0.1, rate)
    browser_page.page.evaluate(BUILD, ["a.wav", "b.wav"])
    root = browser_page.page.get_by_role("group", name="Compare by ear")
    assert root.get_by_role("status").inner_text() == "Run to compare by ear"
    end, detail = browser_page.run()
    assert end == "execution_success", detail
    browser_page.page.evaluate(HEARD)
    yield root
    assert not browser_page.errors


def test_sounds_play_in_step_and_x_is_one_of_them(ear):
    page, status = ear.page, ear.get_by_role("status")
    check(page, ear, 4)
    ear.get_by_role("button", name="Hear sound A").focus()
    page.keyboard.press("1")
    page.wait_for_function("() => window.misoStarted.length === 2")
    first, second = page.evaluate("() => window.misoStarted")
    assert first == second and first[:2] == [48_000, 6 * 48_000]  # at one moment, at the higher rate
    assert page.evaluate(LEVELS) == [1, 0] and status.inner_text() == "You hear A · X is A or B"
    page.keyboard.press("2")
    assert page.evaluate(LEVELS) == [0, 1] and status.inner_text() == "You hear B · X is A or B"
    page.keyboard.press("x")
    levels = page.evaluate(LEVELS)
    assert sorted(levels) == [0, 1] and status.inner_text() == "You hear X · X is A or B"
    ear.get_by_role("button", name="Say what X is").press("Enter")
    assert status.inner_text() == f"You hear X · X is {'AB'[levels.index(1)]}"
    assert len(page.evaluate("() => window.misoStarted")) == 2  # nothing began anew
    ear.get_by_role("button", name="Stop").press("Enter")
    assert status.inner_text().startswith("A, B and X play in step") and page.evaluate(LEVELS) == [0, 0]
    ear.get_by_role("button", name="Say what X is").press("Enter")
    assert status.inner_text().endswith("X is A or B")  # another
