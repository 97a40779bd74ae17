/** Small helpers for elements. */

/**
 * An element with properties, attributes (`aria-*`, `data-*`, `role`), listeners (`onclick`, ...) and children.
 * @param {string} tag
 * @param {object} [props]
 * @param {...(Node|string)} children
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (/^(aria-|data-|role$)/.test(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** A button; `label` is what a screen reader says, and the tooltip, if more than its text. */
export function button(text, label, onclick, props = {}) {
  return el("button", { type: "button", textContent: text, title: label, "aria-label": label, onclick, ...props });
}

/** Fit a canvas to its box in device pixels. Returns its context scaled to CSS pixels, and the box; null while it isn't laid out. */
export function fitted(canvas) {
  const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
  if (!width || !height) return null;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Calls `draw` at most once a frame of the screen, however often it is asked. `cancel` forgets what is asked. */
export function onceAFrame(draw) {
  let asked = 0;
  const ask = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
  ask.cancel = () => {
    cancelAnimationFrame(asked);
    asked = 0;
  };
  return ask;
}

/** Bytes of a base64 string, as a view of the given kind (`Int16Array`, ...). */
export function fromBase64(text, Kind = Uint8Array) {
  return new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

export const seconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;

/** Why takes ended, each reason once. */
export const stopWords = (stops) => [...new Set(stops)].map((stop) => ({ eos: "ended", limit: "time limit", interrupted: "interrupted", runaway: "ran on" })[stop] ?? "edited").join(", ");
