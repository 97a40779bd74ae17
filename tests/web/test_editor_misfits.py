"""Edits belong to the codes they were made on: on others they wait, and what is wrong is shown in the editor."""

import json

import pytest
import torch
from harness.editor import prepare


@pytest.fixture
def hands(browser_page, server):
    yield prepare(browser_page, server)
    assert not browser_page.errors


def test_edits_made_for_another_take_wait_until_told(hands):
    """Frame numbers of one sentence are not applied to another: the editor says so, and asks."""
    hands.run()
    hands.drag(0.2, 0.5)
    hands.press("Delete")
    first = hands.value[0]
    assert first["op"] == "made_for" and len(first["codes"]) == 16
    assert hands.run().frames == 35 and not hands.notice.is_visible()
    hands.set_sampler(seed=22)
    other = hands.run()
    assert other.frames == 50 and "of 50" in hands.status and hands.edits and hands.value[0] == first
    assert "These edits were made for another take; nothing was applied." in hands.notice.inner_text()
    assert hands.button("Cut the selection").is_disabled()
    hands.button("Apply these edits to this take").click()
    assert not hands.notice.is_visible() and "of 35" in hands.status and hands.value[0] != first
    again = hands.run()
    assert again.tensor.equal(torch.cat((other.tensor[..., :10], other.tensor[..., 25:]), 2))
    hands.set_sampler(seed=23)
    hands.run()
    hands.notice.get_by_role("button", name="Take all edits away").click()
    assert hands.value == [] and not hands.notice.is_visible() and "of 50" in hands.status
    hands.timeline.focus()
    hands.press("Control+z")
    assert hands.notice.is_visible() and len(hands.edits) == 1


def test_edits_of_earlier_workflows_are_applied_as_before(hands):
    hands.page.evaluate("""() => { app.graph.nodes.find(n => n.type === 'MisoCodeEditor').widgets.find(w => w.name === 'edits').value =
      JSON.stringify([{op: 'delete', start: 0, end: 10}]); }""")
    assert hands.run().frames == 40 and not hands.notice.is_visible()
    hands.timeline.focus()
    hands.press("Home", "Shift+ArrowRight", "Delete")
    assert [edit["op"] for edit in hands.value] == ["made_for", "delete", "delete"]


def test_the_list_of_edits_is_seen_and_cleared_without_enlarging(hands):
    hands.run()
    assert hands.page.get_by_text("No edits").is_visible()
    hands.drag(0.2, 0.5)
    hands.press("Delete", "Home", "Shift+ArrowRight", "r")
    assert hands.page.locator(".miso-edits li").all_inner_texts() == [
        "Delete frames 10–24 ✕",
        "Repeat frame 0 1× ✕",
    ]
    assert hands.page.locator(".miso-edits li").last.is_visible()
    hands.button("Take edit 1 away").click()
    assert [edit["op"] for edit in hands.edits] == ["repeat"]
    hands.button("Take all edits away; Undo brings them back").click()
    assert hands.value == [] and hands.button("Take all edits away; Undo").is_disabled()
    hands.button("Undo").first.click()
    assert [edit["op"] for edit in hands.edits] == ["repeat"]


def test_an_edit_that_no_longer_fits_is_shown_in_the_editor(hands):
    hands.run()
    hands.drag(0.0, 0.1)
    hands.press("Delete")
    hands.drag(0.7, 0.9)
    hands.press("Delete")
    wrong = hands.edits[1]["end"]
    hands.page.evaluate(
        """edits => { app.graph.nodes.find(n => n.type === 'MisoCodeEditor').widgets.find(w => w.name === 'edits').value = edits; }""",
        json.dumps(hands.edits),  # made for nobody knows what
    )
    hands.set_sampler(max_seconds=1.6)
    end, detail = hands.browser.run()
    assert end == "execution_error" and "Edit 2 (Delete)" in detail["exception_message"]
    hands.page.wait_for_function(
        "() => / of 15 /.test(document.querySelector('.miso-editor [role=status]').textContent)"
    )  # the codes as they are now, with the edit that fits
    assert f"Edit 2 (Delete): it needs {wrong} frames, and the codes have 15" in hands.notice.inner_text()
    assert hands.page.locator(".miso-edits li.wrong").inner_text().startswith("Delete frame")
    hands.page.keyboard.press("Escape")  # ComfyUI's own message
    hands.button("Take edit 2 away").evaluate("e => e.click()")
    assert not hands.notice.is_visible() and len(hands.edits) == 1
