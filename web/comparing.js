/** Compare Sounds by ear: A, B and perhaps C in step, and X, which is A or B. What it plays: see nodes/comparing.py. */

import { ABPlayer } from "./lib/abplayer.js";
import { button, el } from "./lib/dom.js";
import { addElement, after, lastOutput } from "./lib/graph.js";
import { loadSound } from "./lib/sound.js";

export const COMPARING_NODE = "MisoCompare";
const HEIGHT = 76;
const KEYS = { 1: 0, 2: 1, 3: 2, a: 0, b: 1, c: 2, x: "x" };
const NAMES = ["A", "B", "C"];
const views = new WeakMap(); // node -> CompareView

class CompareView {
  constructor(node) {
    this.files = [];
    this.samples = null; // of the sounds, while they play
    this.player = null;
    this.heard = null; // which is chosen: 0, 1, 2 or "x"
    const choose = (what, text, label, keys) => button(text, label, () => this.hear(what), { "aria-keyshortcuts": keys });
    this.buttons = new Map([[0, choose(0, "A", "Hear sound A (1)", "1")], [1, choose(1, "B", "Hear sound B (2)", "2")], [2, choose(2, "C", "Hear sound C (3)", "3")],
      ["x", choose("x", "X", "Hear sound X, which is A or B (X)", "X")]]);
    this.reveal = button("Reveal", "Say what X is, or hide another X", () => this.uncover());
    this.halt = button("■ Stop", "Stop", () => this.stop());
    this.status = el("div", { className: "miso-faint miso-grow", role: "status" });
    const root = el("div", { className: "miso", role: "group", "aria-label": "Compare by ear", onkeydown: (e) => this.key(e) },
      el("div", { className: "miso-bar" }, ...this.buttons.values(), this.reveal, this.halt), this.status);
    addElement(node, "by_ear", "miso_by_ear", root, { height: HEIGHT });
    after(node, "onExecuted", (output) => this.show(output));
    after(node, "onConfigure", () => this.show(lastOutput(node)));
    after(node, "onRemoved", () => this.close());
    this.hide();
  }

  /** @param {object} output what the node has shown */
  show(output) {
    const [sent] = output?.miso_sounds ?? [];
    if (!sent || JSON.stringify(sent) === this.sent) return; // the same, shown again: what X is stays
    this.sent = JSON.stringify(sent);
    this.close();
    this.files = sent.sounds;
    this.player = new ABPlayer(sent.sample_rate);
    this.hide();
  }

  /** A new X. */
  hide() {
    this.hidden = Math.random() < 0.5 ? 0 : 1;
    this.known = false;
    this.describe();
  }

  uncover() {
    if (this.known) return this.hide();
    this.known = true;
    this.describe();
  }

  get sounding() {
    return this.heard === "x" ? this.hidden : this.heard;
  }

  /** Go on with this sound, or begin with it. */
  async hear(what) {
    if (!this.files[what === "x" ? 0 : what]) return;
    this.heard = what;
    this.describe();
    if (this.player.playing) return this.player.hear(this.sounding);
    if (this.samples) return; // they are being read
    const { player } = this, reading = (this.samples = Promise.all(this.files.map((file) => loadSound(file, player.rate))));
    const samples = await reading;
    if (this.samples !== reading) return; // stopped meanwhile
    if (samples.every(Boolean)) return player.play(samples, this.sounding, () => this.stop());
    this.files = []; // gone: ComfyUI was started again
    this.stop();
  }

  stop() {
    this.player?.stop();
    this.heard = this.samples = null;
    this.describe();
  }

  describe() {
    for (const [what, made] of this.buttons) {
      made.disabled = !this.files.length;
      made.hidden = what === 2 && this.files.length < 3;
      made.setAttribute("aria-pressed", this.heard === what);
    }
    this.halt.disabled = this.heard === null;
    this.reveal.disabled = !this.files.length;
    this.reveal.textContent = this.known ? "Hide another" : "Reveal";
    const name = this.heard === "x" ? "X" : NAMES[this.heard];
    this.status.textContent = !this.files.length ? "Run to compare by ear"
      : [name ? `You hear ${name}` : "A, B and X play in step", this.known ? `X is ${NAMES[this.hidden]}` : "X is A or B"].join(" · ");
  }

  key(event) {
    const what = KEYS[event.key.toLowerCase()];
    if (what === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    this.hear(what);
    event.preventDefault(); // a key used here is none of ComfyUI's
    event.stopPropagation();
  }

  close() {
    this.stop();
    this.player?.close();
  }
}

export function addCompareView(node) {
  views.set(node, new CompareView(node));
}

/** Show what nodes gave before the page rebuilt them. */
export const restoreSounds = (node) => views.get(node)?.show(lastOutput(node));
