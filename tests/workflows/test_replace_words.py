"""``replace_words`` as one works with it: click a word, type others, run, hear. Only the stretch is sampled."""

import pytest

from miso.audio.files import read_audio
from miso.audio.resampling import resample
from miso.tools.bootstrap import ROOT

SAID = "The baker opened her {} before the sun came up."
COLLECT = """() => { window.misoTold = {}; window.misoRan = []; window.misoSaved = [];
  const type = id => app.graph.getNodeById(Number(id))?.type;
  misoOn('execution_start', () => { window.misoRan = []; window.misoSaved = []; });
  misoOn('executing', e => e.detail && window.misoRan.push(type(e.detail.node ?? e.detail)));
  misoOn('executed', ({detail}) => { window.misoTold[type(detail.node)] = detail.output;
    for (const file of detail.output?.audio ?? []) if (file.filename.startsWith('replaced')) window.misoSaved.push(file); }); }"""
LOOK = """() => { const n = app.graph.nodes.find(n => n.type === 'MisoCodeEditor');
  app.canvas.ds.scale = 1; app.canvas.ds.offset = [-n.pos[0] + 300, -n.pos[1] + 250]; app.canvas.draw(true, true); }"""
TYPE = """text => { app.graph.nodes.find(n => n.type === 'MisoReplaceWords').widgets.find(w => w.name === 'text').value = text; }"""
WORDS_ROW = 41  # pixels from the top of the timeline to the middle of the words


@pytest.fixture(scope="module")
def whisper():
    pytest.importorskip("faster_whisper")
    from miso.training.judges import Whisper

    return Whisper()


def test_click_a_word_type_another_run_and_hear(browser_page, server, whisper):
    page = browser_page.page
    browser_page.load(ROOT / "workflows" / "replace_words.json")
    page.evaluate(COLLECT)
    page.evaluate(TYPE, "")  # filled with what the take says
    assert browser_page.run()[0] == "execution_success"
    text = "() => app.graph.nodes.find(n => n.type === 'MisoReplaceWords').widgets.find(w => w.name === 'text').value"
    page.wait_for_function(f"() => ({text})() !== ''")
    assert page.evaluate(text) == SAID.format("shop")

    page.evaluate(TYPE, SAID.format("kitchen"))
    assert browser_page.run()[0] == "execution_success"
    ran, told = page.evaluate("() => [window.misoRan, window.misoTold]")
    assert "MisoReplaceWords" in ran and "MisoBackboneSampler" not in ran
    replaced, (take,) = told["MisoReplaceWords"]["miso_replaced"][0], told["MisoCodeEditor"]["miso_codes"]
    assert replaced["changes"] == ["shop → kitchen"] and not replaced["kept"]
    assert 0 < replaced["sampled"] <= 20 < take["frames"]  # of each candidate
    wave, rate = read_audio(server.file(page.evaluate("() => window.misoSaved[0]")))
    heard = whisper(resample(wave, rate, 16_000).numpy()).lower()
    assert "kitchen" in heard and "shop" not in heard and "baker" in heard and "sun" in heard, heard

    page.evaluate(LOOK)
    timeline, status = page.locator("canvas.miso-timeline").first, page.locator(".miso-editor [role=status]")
    box = timeline.bounding_box()
    scale = box["height"] / timeline.evaluate("e => e.clientHeight")
    place = {word["text"]: (word["start"] + word["end"]) / 2 / take["frames"] for word in take["words"]}

    def click(word: str, modifiers=()) -> None:
        position = {"x": box["width"] * place[word], "y": WORDS_ROW * scale}
        timeline.click(position=position, modifiers=list(modifiers))

    click("kitchen")
    assert status.inner_text().startswith("“kitchen”: Frames ")
    click("before", ["Shift"])
    assert status.inner_text().startswith("“kitchen before”: Frames ")
    page.keyboard.press("Alt+ArrowRight")
    assert status.inner_text().startswith("“the”: Frame")
    page.keyboard.press("Alt+Shift+ArrowLeft")
    assert status.inner_text().startswith("“before the”: Frames ")
    page.wait_for_function(
        "() => !document.querySelector('.miso-editor button[aria-keyshortcuts=Space]').disabled"
    )
    timeline.dblclick(position={"x": box["width"] * place["kitchen"], "y": WORDS_ROW * scale})
    page.wait_for_function(
        "() => document.querySelector('.miso-editor button[aria-keyshortcuts=Space]').textContent.includes('Stop')"
    )
    click("opened")
    page.keyboard.press("Delete")
    (edit,) = [
        edit
        for edit in page.evaluate(
            "() => JSON.parse(app.graph.nodes.find(n => n.type === 'MisoCodeEditor').widgets.find(w => w.name === 'edits').value)"
        )
        if edit["op"] != "made_for"
    ]
    opened = next(word for word in take["words"] if word["text"] == "opened")
    assert edit == {"op": "delete", "start": round(opened["start"]), "end": round(opened["end"])}
    assert not browser_page.errors
