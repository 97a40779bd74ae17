"""What a keyboard reaches and a screen reader is told of an element of the page."""

CONTROLS = """root => [...root.querySelectorAll('button, input, select, summary, [tabindex]')].filter(e => e.checkVisibility() && !e.disabled)"""
PLACE = f"root => ({CONTROLS})(root).indexOf(document.activeElement)"
SAID = {
    "button",
    "checkbox",
    "combobox",
    "spinbutton",
    "application",
    "image",
    "group",
    "dialog",
    "DisclosureTriangle",
}


def said(page, root) -> list[tuple[str, str]]:
    """Role and name of all that is in an element, as Chromium tells a screen reader."""
    session = page.context.new_cdp_session(page)
    root.evaluate("e => { window.misoRoot = e }")
    found = session.send("Runtime.evaluate", {"expression": "window.misoRoot"})["result"]["objectId"]
    nodes = session.send("Accessibility.queryAXTree", {"objectId": found})["nodes"]
    session.detach()
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]


def check(page, root, least: int) -> None:
    """Tab goes through all controls, one after the other, and each has a name of its own."""
    count = len(root.evaluate_handle(CONTROLS).get_properties())
    assert count >= least
    root.evaluate(f"root => ({CONTROLS})(root)[0].focus()")
    for place in range(count):
        assert root.evaluate(PLACE) == place
        page.keyboard.press("Tab")
    names = [(role, name) for role, name in said(page, root) if role in SAID]
    assert len(names) >= count and all(name.strip() for _, name in names), names
    assert len(set(names)) == len(names), names
