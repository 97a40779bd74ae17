"""Light or dark, what the pack draws can be read: colours stand out from their ground, and canvases follow a
change of theme."""

import pytest

from miso.tools.bootstrap import ROOT

VIEWS = ["MisoBackboneSampler", "MisoTakePicker", "MisoCodeEditor"]
# a run that wasn't made before, which the sampler would show nothing of
NEW = """() => { const {widgets} = app.graph.nodes.find(n => n.type === 'MisoBackboneSampler');
  for (const [name, value] of Object.entries({max_seconds: 1.6, seed: Math.floor(Math.random() * 1e9)}))
    widgets.find(w => w.name === name).value = value; }"""
# the colours of the first view, as [r, g, b], by their names in miso.css
COLOURS = """() => { const probe = document.createElement('span');
  document.querySelector('.miso').append(probe);
  const entries = ['back', 'text', 'faint', 'wave', 'accent', 'mark'].map(name => {
    probe.style.color = `var(--miso-${name})`;
    return [name, getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number)]; });
  probe.remove();
  return Object.fromEntries(entries); }"""
# whether a block's canvas has that colour anywhere
DRAWN = """([type, rgb]) => { const views = {MisoBackboneSampler: 'Live playback', MisoTakePicker: 'Take picker', MisoCodeEditor: 'Code editor'};
  const canvas = document.querySelector(`[aria-label="${views[type]}"] canvas`);
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.length; i += 4) if (rgb.every((x, c) => data[i + c] === x) && data[i + 3] === 255) return true;
  return false; }"""
SHOW = """() => { app.canvas.ds.scale = 0.6; app.canvas.ds.offset = [-app.graph.nodes.find(n => n.type === 'MisoBackboneSampler').pos[0] + 300, 300];
  app.canvas.draw(true, true); }"""


def contrast(one: list[int], other: list[int]) -> float:
    """As the accessibility guidelines of the web (WCAG 2) define it: 1 to 21."""

    def luminance(rgb):
        r, g, b = (
            x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in (v / 255 for v in rgb)
        )
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture
def page(browser_page):
    browser_page.load_tiny(ROOT / "workflows" / "edit_codes.json")
    browser_page.page.evaluate(NEW)
    assert browser_page.run()[0] == "execution_success"
    browser_page.page.evaluate(SHOW)
    yield browser_page.page
    browser_page.page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    assert not browser_page.errors


def test_readable_in_both_themes(page):
    seen = {}
    for theme in ("dark", "light"):
        page.evaluate("theme => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
        colours = seen[theme] = page.evaluate(COLOURS)
        for name, least in {"text": 4.5, "faint": 4.5, "mark": 4.5, "wave": 3, "accent": 3}.items():
            assert contrast(colours[name], colours["back"]) >= least, (theme, name, colours)
        for view in VIEWS:
            page.wait_for_function(DRAWN, arg=[view, colours["wave"]])
        page.wait_for_function(DRAWN, arg=["MisoCodeEditor", colours["faint"]])  # the ruler
    assert all(
        seen["dark"][name] != seen["light"][name] for name in ("back", "wave", "faint")
    )  # so it was drawn anew
