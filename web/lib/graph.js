/** Where ComfyUI's graph is touched: nodes by their execution id, properties, widgets, files. */

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

/** The node that the server calls `id`: "12", or "5:12" for node 12 inside the subgraph node 5. */
export function nodeOf(id) {
  let graph = app.rootGraph ?? app.graph, node = null;
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
  const outputs = app.nodeOutputs ?? {};
  const id = node.graph?.isRootGraph === false ? `${node.graph.id}:${node.id}` : node.id;
  return outputs[id] ?? null;
}

/** Address of a file that a node has put into its `ui`. */
export const fileUrl = (file) => api.apiURL(`/view?${new URLSearchParams(file)}`);

export { api, app };
