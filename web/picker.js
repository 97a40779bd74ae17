/** The Take Picker's rows. What they show: see nodes/picker.py. */

import { button, el, fitted, onceAFrame } from "./lib/dom.js";
import { addElement, after, changed, lastOutput, withoutGrowth } from "./lib/graph.js";
import { Player } from "./lib/player.js";
import { RATE, loadSound } from "./lib/sound.js";
import { theme, whenLookChanges } from "./lib/theme.js";
import { describeTake, listHeight } from "./lib/takes.js";
import { BLOCK, Peaks, drawWaveform } from "./lib/waveform.js";

const HEIGHT = 60; // of the node's element without takes, in pixels
const AROUND = 42; // pixels of the node's element besides its rows: padding, the line below

class Picker {
  constructor(node, name, value) {
    this.value = value;
    this.takes = [];
    this.rows = [];
    this.playing = null; // the row that is heard
    this.player = new Player(RATE);
    this.list = el("div", { className: "miso-takes", role: "group", "aria-label": "Takes", "data-capture-wheel": "true" });
    this.note = el("div", { className: "miso-faint miso-note", role: "status" });
    this.root = el("div", { className: "miso", role: "group", "aria-label": "Take picker" }, this.list, this.note);
    this.draw = onceAFrame(() => this.rows.forEach((row) => this.drawRow(row)));
    this.look = whenLookChanges(this.root, this.draw);
    this.widget = addElement(node, name, "miso_takes", this.root, {
      height: HEIGHT, saved: true, getValue: () => this.value, setValue: (next) => this.setValue(next) });
    this.widget.options.getMinHeight = () => this.height + 20;
    this.growing = withoutGrowth(node, () => this.height - HEIGHT);
    after(node, "onExecuted", (output) => this.show(output));
    after(node, "onConfigure", () => this.show(lastOutput(node)));
    after(node, "onRemoved", () => this.close());
    this.describe();
  }

  get height() {
    return Math.max(HEIGHT, listHeight(this.takes.length) + AROUND);
  }

  get chosen() {
    return this.value.split(",").map(Number);
  }

  setValue(value) {
    this.value = String(value || "0");
    this.describe();
  }

  /** From the page: choose these, and have the workflow note it. */
  choose(numbers) {
    if (!numbers.length) return this.describe(); // one take at least: the last one can't be unchecked
    this.widget.value = [...new Set(numbers)].sort((a, b) => a - b).join(",");
    changed();
  }

  describe() {
    const { chosen } = this, missing = this.takes.length && chosen.filter((n) => n >= this.takes.length);
    for (const { take, row, box } of this.rows) {
      box.checked = chosen.includes(take.take);
      row.classList.toggle("chosen", box.checked);
    }
    const names = chosen.map((n) => n + 1).join(", ");
    this.note.textContent = !this.takes.length ? `Run to see the takes. Chosen: ${names}`
      : missing.length ? `There is no take ${missing[0] + 1} any more; there are ${this.takes.length}. Choose again`
      : `Chosen: ${names} of ${this.takes.length}${this.takes.some((t) => t.log_probability != null) ? " · likelihood: higher is likelier" : ""}`;
  }

  /** @param {object} output what the node has shown */
  show(output) {
    if (!Array.isArray(output?.miso_takes)) return;
    this.silence();
    const known = new Map(this.rows.filter((row) => row.take.sound).map((row) => [row.take.sound.filename, row.peaks]));
    this.growing();
    this.takes = output.miso_takes;
    this.rows = this.takes.map((take) => this.makeRow(take, known.get(take.sound?.filename)));
    this.list.replaceChildren(...this.rows.map(({ row }) => row));
    this.root.style.minHeight = `${this.height}px`;
    this.describe();
    this.draw();
  }

  makeRow(take, peaks) {
    const name = `Take ${take.take + 1}`;
    const play = button("▶", `Play take ${take.take + 1}`, () => this.play(made), { disabled: !take.sound });
    const box = el("input", { type: "checkbox", onchange: () =>
      this.choose(box.checked ? [...this.chosen, take.take] : this.chosen.filter((n) => n !== take.take)) });
    const canvas = el("canvas", { role: "img", "aria-label": `Waveform of take ${take.take + 1}`, title: "Choose this take alone",
      onclick: () => this.choose([take.take]) });
    const about = describeTake(take), title = "Likelihood: how likely the model found what it said. Higher is likelier";
    const row = el("div", { className: "miso-take", role: "group", "aria-label": `${name}: ${about}` }, play, el("label", {}, box, el("span", {}, name)),
      el("div", { className: "miso-take-about", title }, el("div", { className: "miso-faint miso-grow", textContent: about }), canvas));
    const made = { take, row, box, play, canvas, peaks };
    if (take.sound && !peaks) this.loadPeaks(made);
    return made;
  }

  async loadPeaks(row) {
    const samples = await loadSound(row.take.sound);
    if (!samples || !this.rows.includes(row)) return;
    row.peaks = new Peaks();
    row.peaks.append(samples);
    this.draw();
  }

  async play(row) {
    const again = row.play.getAttribute("aria-pressed") !== "true";
    this.silence();
    if (!again) return;
    row.play.setAttribute("aria-pressed", "true");
    row.play.textContent = "■";
    // read again, from the browser's cache: samples of every take would be a lot to keep
    const samples = await loadSound(row.take.sound);
    if (row.play.getAttribute("aria-pressed") !== "true") return; // stopped meanwhile
    if (!samples) return this.silence();
    this.player.play(samples, () => this.silence());
    this.playing = row;
    this.follow();
  }

  /** Draw the playhead once a frame of the screen while a take plays. */
  follow() {
    const row = this.playing;
    if (!row) return;
    this.drawRow(row);
    requestAnimationFrame(() => this.follow());
  }

  silence() {
    this.player.stop();
    this.playing = null;
    this.draw();
    for (const { play } of this.rows) {
      play.setAttribute("aria-pressed", "false");
      play.textContent = "▶";
    }
  }

  drawRow(row) {
    const { canvas, peaks } = row, fit = fitted(canvas);
    if (!fit) return;
    const { context, width, height } = fit, colours = theme(this.root);
    context.fillStyle = colours.empty;
    context.fillRect(0, 0, width, height);
    if (!peaks?.length) return;
    const longest = Math.max(...this.rows.map((row) => row.peaks?.length ?? 0)); // one scale for all, so that lengths compare
    const shown = Math.round((width * peaks.length) / longest);
    drawWaveform(context, { x: 0, y: 0, width: shown, height }, peaks, 0, peaks.length, colours.wave);
    if (row !== this.playing) return;
    context.fillStyle = colours.mark;
    context.fillRect(Math.min(shown, (width * this.player.elapsed * RATE) / BLOCK / longest) - 1, 0, 2, height);
  }

  close() {
    this.playing = null;
    this.draw.cancel();
    this.look.disconnect();
    this.player.close();
    this.rows = [];
  }
}

const pickers = new WeakMap(); // node -> Picker

/** The widget of the type MISO_TAKES, as ComfyUI asks for it. */
export function takesWidget(node, name, data) {
  const picker = new Picker(node, name, data[1]?.default ?? "0");
  pickers.set(node, picker);
  return { widget: picker.widget, minWidth: 400, minHeight: HEIGHT };
}

/** Show what nodes gave before the page rebuilt them. */
export const restoreTakes = (node) => pickers.get(node)?.show(lastOutput(node));
