/**
 * What the pack adds to the page.
 *
 * ComfyUI loads every .js file here as an entry. Only this one does anything; the others are modules, and not called .mjs because
 * ComfyUI tells browsers to look for a newer .js and not for a newer .mjs: after an update, old and new ones would be mixed.
 */

import { app } from "../../scripts/app.js";
import { editsWidget, listenForMisfits, restoreEdits } from "./editor.js";
import { FILE_NODE, addFileView, restoreFile } from "./codesfile.js";
import { COMPARING_NODE, addCompareView, restoreSounds } from "./comparing.js";
import { listenForLines, restoreLine } from "./line.js";
import { restoreTakes, takesWidget } from "./picker.js";
import { REPLACING_NODE, fillText } from "./replaced.js";
import { keepOutputs } from "./lib/graph.js";
import { colorSockets } from "./lib/sockets.js";
import { LIVE_NODES, addLiveView, listen } from "./preview.js";
import { restoreTurns, turnsWidget } from "./turns.js";

document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("./miso.css", import.meta.url) }));

const SHOWING = ["MisoCodeEditor", "MisoTakePicker", "MisoDialogue", "MisoLongText", COMPARING_NODE, FILE_NODE]; // blocks that show what they gave

app.registerExtension({
  name: "miso",
  setup() {
    colorSockets();
    listen();
    listenForLines();
    listenForMisfits();
  },
  getCustomWidgets: () => ({ MISO_EDITS: editsWidget, MISO_TAKES: takesWidget, MISO_TURNS: turnsWidget }),
  nodeCreated(node) {
    if (LIVE_NODES.includes(node.comfyClass)) addLiveView(node);
    if (node.comfyClass?.startsWith("Miso")) restoreLine(node);
    if (node.comfyClass === FILE_NODE) addFileView(node);
    if (node.comfyClass === COMPARING_NODE) addCompareView(node);
    if (node.comfyClass === REPLACING_NODE) fillText(node);
    if (SHOWING.includes(node.comfyClass)) keepOutputs(node);
  },
  /** The page has put back what nodes gave, of a workflow in another tab. */
  onNodeOutputsUpdated() {
    for (const node of app.graph?.nodes ?? []) {
      restoreTakes(node);
      restoreFile(node);
      restoreEdits(node);
      restoreTurns(node);
      restoreSounds(node);
    }
  },
});
