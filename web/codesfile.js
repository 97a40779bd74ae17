/** Load Codes: hear the file, and look for new ones. What it shows: see nodes/codes.py. */

import { button, el } from "./lib/dom.js";
import { addElement, after, app, lastOutput } from "./lib/graph.js";
import { Player } from "./lib/player.js";
import { RATE, loadSound } from "./lib/sound.js";
import { describeFile } from "./lib/takes.js";

export const FILE_NODE = "MisoLoadCodes";
const views = new WeakMap(); // node -> FileView

class FileView {
  constructor(node) {
    this.node = node;
    this.file = null; // what the last run has loaded
    this.player = new Player(RATE);
    this.play = button("▶ Play", "Play the first take", () => this.toggle());
    this.refresh = button("Refresh", "Look for new files", () => this.look());
    this.about = el("div", { className: "miso-note miso-faint", role: "status" });
    this.text = el("div", { className: "miso-note" });
    const root = el("div", { className: "miso", role: "group", "aria-label": "Codes file" },
      el("div", { className: "miso-row" }, this.play, this.refresh), this.about, this.text);
    addElement(node, "file_view", "miso_file", root, { height: 80 });
    const choice = node.widgets?.find((widget) => widget.name === "file");
    if (choice) after(choice, "callback", () => this.describe());
    this.choice = choice;
    after(node, "onExecuted", (output) => this.show(output));
    after(node, "onConfigure", () => this.show(lastOutput(node)));
    after(node, "onRemoved", () => this.player.close());
    this.describe();
  }

  /** @param {object} output what the node has shown */
  show(output) {
    if (Array.isArray(output?.miso_file)) this.file = output.miso_file[0];
    this.describe();
  }

  describe(words = "") {
    const known = this.file?.file === this.choice?.value ? this.file : null;
    if (!known?.sound) this.stop();
    this.play.disabled = !known?.sound;
    this.about.textContent = words || (known ? describeFile(known) : "Run to see and hear it");
    this.text.textContent = known?.silent || known?.text || "";
    this.about.title = this.about.textContent;
    this.text.title = this.text.textContent;
  }

  async toggle() {
    if (this.play.getAttribute("aria-pressed") === "true") return this.stop();
    this.play.setAttribute("aria-pressed", "true");
    this.play.textContent = "■ Stop";
    const samples = await loadSound(this.file.sound);
    if (this.play.getAttribute("aria-pressed") !== "true") return; // stopped meanwhile
    if (samples) this.player.play(samples, () => this.stop());
    else {
      this.stop();
      this.describe("Run again to hear it"); // ComfyUI has emptied its temp folder
    }
  }

  stop() {
    this.player.stop();
    this.play.setAttribute("aria-pressed", "false");
    this.play.textContent = "▶ Play";
  }

  /** Ask the server for the choices again, as ComfyUI's own R does. */
  async look() {
    this.refresh.disabled = true;
    try {
      await app.refreshComboInNodes();
      const files = this.choice?.options?.values?.length ?? 0;
      this.describe(files === 1 ? "1 file" : `${files} files`);
    } finally {
      this.refresh.disabled = false;
    }
  }
}

export function addFileView(node) {
  views.set(node, new FileView(node));
}

/** Show what nodes gave before the page rebuilt them. */
export const restoreFile = (node) => views.get(node)?.show(lastOutput(node));
