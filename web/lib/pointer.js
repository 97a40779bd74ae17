import { el } from "./dom.js";

const SECONDS = 6;

/**
 * A ring around a place in the window, for a few seconds; it follows when the graph is moved.
 * @param {() => [number, number]} place
 * @param {() => boolean} wanted ends it early
 */
export function pointAt(place, wanted) {
  document.querySelector(".miso-pointer")?.remove();
  const ring = el("div", { className: "miso-pointer", "aria-hidden": "true" }), ends = performance.now() + 1000 * SECONDS;
  const follow = () => {
    if (performance.now() > ends || !wanted() || (ring.parentElement && !ring.isConnected)) return ring.remove();
    const [x, y] = place();
    ring.style.transform = `translate(${x}px, ${y}px)`;
    requestAnimationFrame(follow);
  };
  document.body.append(ring);
  follow();
}
