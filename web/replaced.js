/** Replace Words: an empty text is filled with what the codes say, to be typed over. */

import { after, changed } from "./lib/graph.js";

export const REPLACING_NODE = "MisoReplaceWords";

export function fillText(node) {
  after(node, "onExecuted", (output) => {
    const said = output?.miso_replaced?.[0]?.text, widget = node.widgets?.find((w) => w.name === "text");
    if (!said || !widget || widget.value.trim()) return;
    widget.value = said;
    changed();
  });
}
