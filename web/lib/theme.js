/** The page's own colours, for what is drawn on a canvas; elements take them in miso.css. */

/** Read at each drawing, so that a change of theme needs no notice. */
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
    mark: read("--miso-mark", "#e0564f"),
    font: style.fontFamily || "sans-serif",
  };
}
