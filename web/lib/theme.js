/** The page's own colours, for what is drawn on a canvas; elements take them in miso.css. */

/** Have `draw` called when an element's size changes or the page's theme does. `disconnect` ends that. */
export function whenLookChanges(element, draw) {
  const size = new ResizeObserver(draw), colours = new MutationObserver(draw);
  size.observe(element);
  colours.observe(document.documentElement, { attributeFilter: ["style", "class"] }); // where ComfyUI puts a theme's colours, and whether it is a dark one:
  colours.observe(document.body, { attributeFilter: ["class"] }); // older pages say that here
  return { disconnect: () => [size, colours].forEach((observer) => observer.disconnect()) };
}

/** The colours as they are now: read at each drawing. */
export function theme(element) {
  const style = getComputedStyle(element), read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    text: read("--miso-text", "#ddd"),
    faint: read("--miso-faint", "#999"),
    line: read("--miso-line", "#4e4e4e"),
    wave: read("--miso-wave", "#5aa9e6"),
    accent: read("--miso-accent", "#e8a33d"),
    select: read("--miso-select", "rgba(232, 163, 61, 0.3)"),
    empty: read("--miso-empty", "#141414"),
    back: read("--miso-back", "#222"),
    mark: read("--miso-mark", "#e86860"),
    font: style.fontFamily || "sans-serif",
  };
}
