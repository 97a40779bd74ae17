/** A line of text below a node, from show_on_node of nodes/sockets.py. ComfyUI's own is gone when the run ends. */

import { el } from "./lib/dom.js";
import { addElement, after, api, keepForTab, keptForTab, nameWorkflow, nodeOf, withoutGrowth } from "./lib/graph.js";

const LINE = 16, AROUND = 14, MOST = 6; // pixels of a line of text and around it; lines
const CHARACTER = 6.3; // pixels, on average
const lines = new WeakMap(); // node -> Line
const failed = new Set(); // nodes that show an error

class Line {
  constructor(node) {
    this.node = node;
    this.root = el("div", { className: "miso miso-said", role: "status" });
    this.widget = addElement(node, "line", "miso_line", this.root, { height: LINE + AROUND });
    this.widget.options.getMinHeight = () => this.height && this.height + 20;
    this.growing = withoutGrowth(node, () => this.height);
    this.before = ""; // what an error has taken the place of
    this.failed = false;
  }

  get height() {
    const room = Math.max(100, this.node.size[0] - 40) / CHARACTER;
    return !this.root.textContent ? 0 : AROUND + LINE * Math.min(MOST, Math.ceil(this.root.textContent.length / room));
  }

  say(text, error = false) {
    this.growing();
    if (error && !this.failed) this.before = this.root.textContent;
    this.failed = error;
    this.root.classList.toggle("miso-error", error);
    this.root.hidden = !text;
    this.root.textContent = this.root.title = text;
    this.root.style.minHeight = `${this.height}px`;
    const [width, height] = this.node.computeSize();
    if (this.node.size[1] < height) this.node.setSize([Math.max(width, this.node.size[0]), height]);
    this.node.setDirtyCanvas?.(true, true);
    setTimeout(() => this.place());
  }

  /** Older Vue nodes don't show a widget that comes after a link or a value has changed: put it into the node. */
  place() {
    const { id } = this.node, before = document.querySelector(`[data-removed="${id} line"]`); // of the node that this one replaces
    if (this.root.isConnected) return before?.remove();
    if (before) before.replaceWith(this.root);
    else document.querySelector(`[data-node-id="${id}"]`)?.append(this.root);
  }
}

function say(node, text, error) {
  if (!lines.has(node)) lines.set(node, new Line(node));
  lines.get(node).say(text, error);
  if (error) failed.add(node);
}

/** Show what was said last also after the page was loaded again. */
export function restoreLine(node) {
  after(node, "onConfigure", () => setTimeout(() => {
    const kept = node.graph && keptForTab(node)?.line;
    if (typeof kept === "string") say(node, kept);
  }));
}

/** Listen to the server; once. */
export function listenForLines() {
  api.addEventListener("miso.line", ({ detail }) => {
    const node = nodeOf(detail.node);
    if (!node) return;
    say(node, detail.text, detail.error);
    if (detail.error) return;
    nameWorkflow();
    keepForTab(node, { ...keptForTab(node), line: detail.text });
  });
  // a run begins: what failed in the last one may be mended
  api.addEventListener("execution_start", () => {
    for (const node of failed) lines.get(node).say(lines.get(node).before);
    failed.clear();
  });
}
