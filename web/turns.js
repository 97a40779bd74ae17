/** The panel of turns on Dialogue and Long Text. What it shows: see nodes/turns.py. */

import { Choices, describeTurn } from "./lib/choices.js";
import { button, el } from "./lib/dom.js";
import { addElement, after, changed, hasInput, lastOutput } from "./lib/graph.js";
import { Player } from "./lib/player.js";
import { RATE, loadSound } from "./lib/sound.js";

const HEIGHT = 200, WIDTH = 400; // pixels: four turns, and the line below them; more turns scroll

class TurnPanel {
  constructor(node, name, value) {
    this.node = node;
    this.unit = node.comfyClass === "MisoLongText" ? "part" : "turn"; // as the block's help page calls them
    this.choices = new Choices(value);
    this.rows = [];
    this.sound = this.seed = null; // of the run that is shown
    this.playing = null; // the row that is heard
    this.player = new Player(RATE);
    this.list = el("div", { className: "miso-turns", role: "group", "aria-label": `List of ${this.unit}s`, "data-capture-wheel": "true" });
    this.note = el("div", { className: "miso-faint miso-grow", role: "status" });
    this.clear = button("Clear", `Clear all choices: no ${this.unit} is locked, and each is its first attempt`, () => this.set("[]"));
    this.root = el("div", { className: "miso", role: "group", "aria-label": `${this.unit[0].toUpperCase()}${this.unit.slice(1)}s` }, this.list, el("div", { className: "miso-row" }, this.note, this.clear));
    this.widget = addElement(node, name, "miso_turns", this.root, {
      height: HEIGHT, saved: true, getValue: () => this.choices.text, setValue: (text) => this.load(text) });
    after(node, "onExecuted", (output) => this.show(output));
    after(node, "onConfigure", () => this.show(lastOutput(node)));
    after(node, "onConnectionsChange", () => this.describe());
    after(node, "onRemoved", () => this.close());
    this.describe();
  }

  /** From outside: a workflow is loaded. */
  load(text) {
    this.choices.load(text);
    this.describe();
  }

  /** From the page: choose, and have the workflow note it. */
  set(text) {
    this.widget.value = text;
    this.widget.callback?.(text);
    changed();
  }

  /** @param {object} output what the node has shown */
  show(output) {
    if (!Array.isArray(output?.miso_turns)) return;
    this.silence();
    this.sound = output.miso_preview?.[0]?.sound ?? null;
    this.seed = output.miso_seed?.[0] ?? null;
    this.rows = output.miso_turns.map((turn) => this.makeRow(turn));
    this.list.replaceChildren(...this.rows.map(({ row }) => row));
    this.describe();
  }

  nameOf(turn) {
    return `${this.unit} ${turn.turn + 1}`;
  }

  makeRow(turn) {
    const name = this.nameOf(turn);
    const play = button("▶", `Play ${name}`, () => this.play(made));
    const again = button("↻", `Say ${name} anew, with another seed`, () => this.attempt(turn, 1));
    const back = button("↶", `Back to the attempt before at ${name}`, () => this.attempt(turn, -1));
    const lock = button("Lock", "", () => this.lock(turn));
    const about = el("div", { className: "miso-faint miso-grow" });
    const said = el("div", { className: "miso-grow", textContent: turn.name ? `${turn.name}: ${turn.text}` : turn.text, title: turn.text });
    const row = el("div", { className: "miso-turn", role: "group" }, play, el("div", { className: "miso-turn-about" }, said, about), back, again, lock);
    const made = { turn, row, play, again, back, lock, about };
    return made;
  }

  /** Another attempt at a turn. */
  attempt(turn, step) {
    this.set(this.choices.choose(turn, { attempt: this.choices.of(turn).attempt + step }));
    this.describe(this.holdSeed() ? ` · the seed is fixed, so that other ${this.unit}s stay` : "");
  }

  /** Lock a turn, or unlock it. */
  lock(turn) {
    this.set(this.choices.choose(turn, { locked: this.choices.of(turn).locked ? "" : turn.codes }));
  }

  /** Go back to the seed of the run that is shown: with the next one, all turns would be others. Returns whether it was another. */
  holdSeed() {
    const widget = (name) => this.node.widgets.find((w) => w.name === name), seed = widget("seed"), control = widget("control_after_generate");
    if (this.seed === null || !seed || hasInput(this.node, "seed") || (seed.value === this.seed && control?.value === "fixed")) return false;
    seed.value = this.seed;
    if (control) control.value = "fixed";
    changed();
    return true;
  }

  /** Rows and the line below, after whatever has changed. */
  describe(more = "") {
    let locked = 0, other = 0;
    for (const { turn, row, play, again, back, lock, about } of this.rows) {
      const choice = this.choices.of(turn), name = this.nameOf(turn), on = Boolean(choice.locked);
      locked += on;
      other += choice.attempt !== turn.attempt;
      about.textContent = about.title = describeTurn(turn, choice);
      row.setAttribute("aria-label", `${name}: ${turn.text}. ${about.textContent}`);
      row.classList.toggle("chosen", on);
      play.disabled = !this.sound || turn.end <= turn.start;
      again.disabled = back.disabled = on;
      back.hidden = !choice.attempt;
      lock.textContent = on ? "Locked" : "Lock";
      lock.title = on ? `Unlock ${name}` : `Lock ${name}: it stays as it is, whatever is changed before it`;
      lock.setAttribute("aria-label", lock.title);
      lock.setAttribute("aria-pressed", on);
    }
    this.clear.disabled = !this.choices.list.length;
    const hear = this.sound ? "" : hasInput(this.node, "preview") ? "run again to hear them" : "connect a vocoder to preview to hear them";
    this.note.textContent = this.note.title = !this.rows.length ? `Run to see the ${this.unit}s`
      : [`${this.rows.length} ${this.unit}${this.rows.length === 1 ? "" : "s"}`, locked && `${locked} locked`, other ? `${other} changed: press Run` : hear].filter(Boolean).join(" · ") + more;
  }

  async play(row) {
    const again = this.playing !== row;
    this.silence();
    if (!again) return;
    this.playing = row;
    row.play.setAttribute("aria-pressed", "true");
    row.play.textContent = "■";
    // read again, from the browser's cache: the samples of a chapter would be a lot to keep
    const samples = await loadSound(this.sound);
    if (this.playing !== row) return; // stopped meanwhile
    const part = samples?.subarray(Math.round(row.turn.start * RATE), Math.round(row.turn.end * RATE));
    if (part?.length) return this.player.play(part, () => this.silence());
    this.sound = null; // gone: ComfyUI was started again
    this.silence();
    this.describe();
  }

  silence() {
    this.player.stop();
    if (!this.playing) return;
    this.playing.play.setAttribute("aria-pressed", "false");
    this.playing.play.textContent = "▶";
    this.playing = null;
  }

  close() {
    this.silence();
    this.player.close();
    this.rows = [];
  }
}

const panels = new WeakMap(); // node -> TurnPanel

/** The widget of the type MISO_TURNS, as ComfyUI asks for it. */
export function turnsWidget(node, name, data) {
  const panel = new TurnPanel(node, name, data[1]?.default ?? "[]");
  panels.set(node, panel);
  return { widget: panel.widget, minWidth: WIDTH, minHeight: HEIGHT };
}

/** Show what nodes gave before the page rebuilt them. */
export const restoreTurns = (node) => panels.get(node)?.show(lastOutput(node));
