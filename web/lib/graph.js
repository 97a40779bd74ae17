/** Where ComfyUI's graph is touched: nodes by their execution id, properties, widgets, files. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

/** The node that the server calls `id`: "12", or "5:12" for node 12 inside the subgraph node 5. */
export function nodeOf(id) {
  let graph = rootGraph(), node = null;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(Number(part)) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

/** Have ComfyUI note that the workflow has changed, for its own undo and its mark of unsaved work. */
export function changed() {
  app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.checkState?.();
}

/**
 * A widget that is an element in the node.
 * @param {{height: number, getValue?: Function, setValue?: Function, saved?: boolean}} options
 *   `height`: in the node, at least; `saved`: its value goes into the workflow and the prompt
 */
export function addElement(node, name, type, element, { height, getValue, setValue, saved = false }) {
  element.style.minHeight = `${height}px`; // what Vue nodes go by
  const widget = node.addDOMWidget(name, type, element, { serialize: saved, hideOnZoom: false, getMinHeight: () => height + 20, getValue, setValue });
  if (!saved) widget.serialize = false; // the workflow's own switch; the option is the prompt's
  // ComfyUI's undo makes all nodes anew, and Vue nodes then go on showing the element of the node that was: put this one in its place
  after(node, "onRemoved", () => {
    element.dataset.removed = `${node.id} ${name}`;
    // newer pages never let go of a widget's options: not of the element and what it shows, then
    for (const option of ["getMinHeight", "getValue", "setValue"]) delete widget.options[option];
  });
  after(node, "onConfigure", () => setTimeout(() => {
    if (!element.isConnected) document.querySelector(`[data-removed="${node.id} ${name}"]`)?.replaceWith(element);
  }));
  return widget;
}

/** Run `more` after the node's own method `name`. */
export function after(node, name, more) {
  const own = node[name];
  node[name] = function (...args) {
    const result = own?.apply(this, args);
    more.apply(this, args);
    return result;
  };
}

const AROUND = 48; // pixels, at most, that ComfyUI grows a node by beyond its element's growth

/**
 * Leave out of the workflow what a node grows by to show more: the page would take that for an edit, and its undo would not get past it.
 * @param {() => number} more by how much its element is higher than when nothing is shown
 * @returns {() => void} to be called before the element grows
 */
export function withoutGrowth(node, more) {
  let before = null;
  after(node, "onSerialize", (saved) => {
    const grown = node.size[1] - before;
    if (before !== null && grown > 0 && grown <= more() + AROUND) saved.size = [node.size[0], before];
  });
  return () => {
    if (!more()) before = node.size[1];
  };
}

/** What the node showed last, also after the page has rebuilt it (undo, another tab) or was loaded again. */
export function lastOutput(node) {
  return app.nodeOutputs?.[placeOf(node)] ?? kept(outputKey(node));
}

/** Keep what the node shows: ComfyUI's undo doesn't have it if the run ended before the answer to its request was read. */
export function keepOutputs(node) {
  after(node, "onExecuted", (output) => {
    nameWorkflow();
    keep(outputKey(node), output);
  });
}

/** A node's id in the workflow, wherever in it. */
const placeOf = (node) => (node.graph?.isRootGraph === false ? `${node.graph.id}:${node.id}` : node.id);

const rootGraph = () => app.rootGraph ?? app.graph;

/** Tell this workflow from others: shipped ones come with an id of zeros, which newer pages replace as this does. */
export function nameWorkflow() {
  const graph = rootGraph();
  if (/^[0-]*$/.test(graph.id ?? "")) graph.id = LiteGraph.uuidv4();
}

const keptKey = (node) => `Miso.last ${rootGraph().id} ${placeOf(node)}`;
const outputKey = (node) => `Miso.output ${rootGraph().id} ${placeOf(node)}`;

/** Keep something about a node until the browser's tab is closed, past a reload of the page. */
export const keepForTab = (node, value) => keep(keptKey(node), value);

/** What was kept about a node, or null. */
export const keptForTab = (node) => kept(keptKey(node));

function keep(key, value) {
  try {
    sessionStorage.removeItem(key); // what was kept before is not what the node shows
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // no room, or not allowed: it is shown until the page is left
  }
}

function kept(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

/** The output of that name, and where it is drawn: [x, y] in the window. Vue nodes have an element there. */
export function outputPlace(node, name) {
  const slot = node.findOutputSlot(name), drawn = document.querySelector(`[data-slot-key="${node.id}-out-${slot}"]`);
  if (drawn?.checkVisibility()) {
    const { left, top, width, height } = drawn.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  }
  const { ds, canvas } = app.canvas, box = canvas.getBoundingClientRect(), [x, y] = ds.convertOffsetToCanvas(node.getConnectionPos(false, slot));
  return [box.left + x, box.top + y];
}

/** Whether anything is connected to that output. */
export const isConnected = (node, name) => (node.outputs?.[node.findOutputSlot(name)]?.links?.length ?? 0) > 0;

/** Whether anything is connected to that input. */
export const hasInput = (node, name) => node.inputs?.find((input) => input.name === name)?.link != null;

/** A choice kept with the node in the workflow. */
export function setProperty(node, name, value) {
  node.setProperty?.(name, value);
  node.properties[name] = value;
  changed();
}

/** Address of a file that a node has put into its `ui`. */
export const fileUrl = (file) => api.apiURL(`/view?${new URLSearchParams(file)}`);

export { api, app };
