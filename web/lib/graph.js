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
  after(node, "onRemoved", () => (element.dataset.removed = `${node.id} ${name}`));
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

/** What the node showed last, also after the page has rebuilt it (undo, another tab). */
export function lastOutput(node) {
  return app.nodeOutputs?.[placeOf(node)] ?? null;
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

/** Keep something about a node until the browser's tab is closed, past a reload of the page. */
export function keepForTab(node, value) {
  try {
    sessionStorage.setItem(keptKey(node), JSON.stringify(value));
  } catch {
    // no room, or not allowed: it is shown until the page is left
  }
}

/** What was kept about a node, or null. */
export function keptForTab(node) {
  try {
    return JSON.parse(sessionStorage.getItem(keptKey(node)));
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
