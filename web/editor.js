/** The Code Editor: a timeline with commands, whose value is a list of operations (see miso/editing/edits.py). */

import * as clips from "./lib/clip.js";
import { codeMap } from "./lib/codemap.js";
import { COMMANDS, commandOf } from "./lib/commands.js";
import { button, el, seconds } from "./lib/dom.js";
import { MARKS, cutOut, describe, find, replay, withOperation } from "./lib/edits.js";
import { Enlarged } from "./lib/enlarged.js";
import { addElement, after, changed, lastOutput } from "./lib/graph.js";
import { History } from "./lib/history.js";
import { Player } from "./lib/player.js";
import { RATE } from "./lib/sound.js";
import { Timeline } from "./lib/timeline.js";

const HEIGHT = 330, WIDTH = 560;

class Editor {
  constructor(node, name, value) {
    this.node = node;
    this.history = new History(value, () => this.edited());
    this.takes = this.others = [];
    this.clip = this.second = this.pasteable = null;
    this.loaded = []; // clips whose sound needn't be loaded again
    this.player = new Player(RATE);
    this.build();
    this.widget = addElement(node, name, "miso_edits", this.root, {
      height: HEIGHT, saved: true, getValue: () => this.history.text, setValue: (text) => this.setValue(text) });
    after(node, "onExecuted", (output) => this.receive(output));
    after(node, "onConfigure", () => this.receive(lastOutput(node)));
    after(node, "onRemoved", () => this.close());
    this.update();
  }

  build() {
    this.buttons = Object.fromEntries(COMMANDS.map(([command, text, label, keys]) =>
      [command, button(text, `${label} (${keys})`, (e) => this.pressed(e, command), { "aria-keyshortcuts": keys.replace("Ctrl", "Control") })]));
    const number = (label, value, most) => el("input", { type: "number", className: "miso-number", min: 1, max: most, value, "aria-label": label, title: label });
    this.pauseFrames = number("Frames of silence (12 are a second)", 6, 9999);
    this.keepCount = number("Codebooks to keep", 8, 64);
    this.firstCodebook = number("First codebook to replace", 2, 64);
    this.keepButton = button("Keep", "Keep the first codebooks only", () => this.add({ op: "keep_codebooks", count: +this.keepCount.value }));
    this.replaceButton = button("Replace codebooks from", "Replace the selection's codebooks, from this one on, by those of the second codes that begin where its selection does", () => this.replace());
    this.snap = el("input", { type: "checkbox", checked: true });
    const options = { onselect: () => this.describe(), snaps: () => this.snap.checked };
    this.main = new Timeline(options);
    this.side = new Timeline(options);
    this.side.canvas.hidden = true;
    this.side.canvas.setAttribute("aria-label", "Timeline of the second codes");
    this.tab = button("Second codes", "Show the second codes, to copy from", () => this.showSecond(this.side.canvas.hidden));
    this.takeChoice = el("select", { "aria-label": "Take", title: "Take", onchange: () => this.chooseTake(this.takeChoice.value) });
    this.enlarge = button("⤢ Enlarge", "Enlarge the editor, or put it back into the node", () => this.enlarged.toggle());
    this.status = el("div", { className: "miso-grow", role: "status" });
    this.count = el("summary");
    this.list = el("ol");
    const zoom = (text, label, act) => button(text, label, () => act(this.timeline));
    this.root = el("div", { className: "miso miso-editor", role: "group", "aria-label": "Code editor", onkeydown: (e) => this.key(e) },
      el("div", { className: "miso-bar" }, ...Object.values(this.buttons).slice(0, 8), this.enlarge),
      el("div", { className: "miso-bar" }, this.buttons.pause, this.pauseFrames, this.buttons.resample, this.buttons.redecode, this.keepButton, this.keepCount,
        this.takeChoice, this.tab, this.replaceButton, this.firstCodebook),
      this.main.canvas, this.side.canvas,
      el("div", { className: "miso-row" }, this.status, el("label", {}, this.snap, "Snap"), zoom("−", "Zoom out (-)", (t) => t.zoom(2)),
        zoom("+", "Zoom in (+)", (t) => t.zoom(0.5)), zoom("Fit", "Show all (0)", (t) => t.fit())),
      el("details", { className: "miso-edits", "aria-label": "Edits" }, this.count, this.list));
    this.enlarged = new Enlarged(this.root, "Code editor", (open) => {
      this.enlarge.textContent = open ? "⤡ Back to the node" : "⤢ Enlarge";
      this.timeline.canvas.focus({ preventScroll: true }); // moved in the page, it has lost it
    });
  }

  get timeline() {
    return this.side.canvas.hidden ? this.main : this.side;
  }

  // the value

  get edits() {
    return this.history.edits;
  }

  /** From outside: a workflow is loaded. */
  setValue(text) {
    if (text === this.history.text) return;
    this.history.load(text);
    this.update();
  }

  /** From the page: there are other edits now. */
  edited() {
    this.update();
    this.widget.callback?.(this.history.text);
    changed();
  }

  /** One operation more; then select frames `start`..`end`. */
  add(operation, start = this.main.anchor, end = this.main.cursor) {
    if (!this.clip?.strip || this.error) return;
    this.history.act(withOperation(this.edits, operation, this.codes, this.second?.strip));
    this.main.select(start, end);
  }

  undo() {
    this.history.undo();
  }

  redo() {
    this.history.redo();
  }

  // commands

  cut() {
    if (this.timeline !== this.main || this.main.start === this.main.end) return;
    this.copy();
    this.remove();
  }

  copy() {
    const { start, end } = this.timeline;
    if (start < end) this.pasteable = cutOut(this.timeline === this.main ? this.codes : this.second.strip, start, end);
    this.describe();
  }

  paste() {
    const { pasteable } = this, { cursor: at } = this.main;
    if (!pasteable || !this.clip?.strip || this.error) return;
    this.showSecond(false);
    const length = pasteable.refs.length, place = find(this.codes, pasteable), last = this.edits.at(-1);
    if (place >= 0) return this.add({ op: "copy", start: place, end: place + length, to: at }, at, at + length);
    const other = this.second?.strip ? find(this.second.strip, pasteable) : -1;
    if (other >= 0) return this.add({ op: "insert", at, start: other, end: other + length }, at, at + length);
    if (last?.op === "delete" && last.end - last.start === length) {
      // what was cut a moment ago: cut and paste are one move
      const to = at <= last.start ? at : at + length;
      const before = this.edits.slice(0, -1), state = replay(this.clip.strip, before, this.second?.strip).codes;
      if (find(cutOut(state, last.start, last.end), pasteable) === 0) {
        this.history.act([...before, ...(to === last.start ? [] : [{ op: "move", start: last.start, end: last.end, to }])]);
        this.main.select(at, at + length);
        return;
      }
    }
    this.say("What was cut is no longer in the codes: undo as far as that, or copy something else.");
  }

  remove() {
    const { start, end } = this.main;
    if (this.timeline === this.main && start < end) this.add({ op: "delete", start, end }, start, start);
  }

  repeat() {
    const { start, end } = this.main;
    if (this.timeline === this.main && start < end) this.add({ op: "repeat", start, end, times: 1 }, end, 2 * end - start);
  }

  pause() {
    const frames = Math.max(1, Math.round(+this.pauseFrames.value) || 1), at = this.main.cursor;
    this.add({ op: "insert_silence", at, frames }, at, at + frames);
  }

  replace() {
    const { start, end } = this.main, first = Math.round(+this.firstCodebook.value) - 1;
    if (start < end && this.second?.strip) this.add({ op: "replace_codebooks", start, end, first, from: this.side.start });
  }

  resample() {
    this.mark("resample_from");
  }

  redecode() {
    this.mark("redecode_from");
  }

  mark(op) {
    if (!this.clip?.strip || this.error) return;
    const frame = this.main.cursor, rest = this.edits.filter((e) => e.op !== op);
    if (this.marks[op] === frame) this.history.act(rest);
    else if (op === "redecode_from" && rest.some((e) => !MARKS.includes(e.op))) this.say("Redecoding needs unedited codes: their hidden states fit no others.");
    else this.add({ op, frame });
  }

  chooseTake(choice) {
    const rest = this.edits.filter((e) => e.op !== "take");
    this.history.act(choice === "" ? rest : withOperation(rest, { op: "take", take: +choice }));
  }

  play() {
    if (this.player.playing) return this.silence();
    const { timeline } = this, shown = timeline === this.main ? this.codes : this.second?.strip;
    if (!shown || !this.sounding) return;
    const start = timeline.start, end = timeline.end > start ? timeline.end : shown.refs.length;
    this.player.play(clips.samples(shown.refs.subarray(start, end), [this.clip, this.second]), () => this.silence());
    this.buttons.play.textContent = "■ Stop";
    this.buttons.play.setAttribute("aria-pressed", true);
    const follow = () => {
      if (!this.player.playing) return;
      timeline.playhead = Math.min(end, start + this.player.elapsed * this.clip.rate);
      timeline.draw();
      requestAnimationFrame(follow);
    };
    follow();
  }

  silence() {
    this.player.stop();
    this.buttons.play.textContent = "▶ Play";
    this.buttons.play.setAttribute("aria-pressed", false);
    for (const timeline of [this.main, this.side]) {
      timeline.playhead = null;
      timeline.draw();
    }
  }

  pressed(event, command) {
    this[command]();
    if (event.detail) this.timeline.canvas.focus({ preventScroll: true }); // with the mouse: keys are the timeline's again
  }

  key(event) {
    if (event.target !== this.timeline.canvas) return;
    const command = commandOf(event);
    if (!this.timeline.key(event)) {
      if (!command) return;
      this[command]();
    }
    event.preventDefault(); // a key used here is none of ComfyUI's: Delete would delete the node
    event.stopPropagation();
  }

  // what the server sent

  receive(output) {
    const sent = output?.miso_codes;
    if (!Array.isArray(sent)) return;
    this.takes = sent.filter((take) => take.input === "codes");
    this.others = sent.filter((take) => take.input === "other");
    this.clip = this.second = null;
    this.update();
  }

  /** The clips that are to be shown, made when they change. */
  pickClips() {
    const wanted = this.edits[0]?.op === "take" ? this.edits[0].take : 0;
    const pick = (list, index, clip, second) => {
      const sent = list[index] ?? null;
      if ((clip?.sent ?? null) === sent) return clip;
      if (!sent) return null;
      const made = new clips.Clip(sent, second);
      const known = this.loaded.find((clip) => clip.sent.sound?.filename === sent.sound?.filename);
      made.load(known).then(() => [this.clip, this.second].includes(made) && this.update());
      return made;
    };
    this.clip = pick(this.takes, wanted, this.clip, false);
    this.second = pick(this.others, this.others.length === this.takes.length ? wanted : 0, this.second, true);
    this.loaded = [this.clip, this.second].filter(Boolean);
  }

  /** Replay the edits and show what comes out. */
  update() {
    this.silence();
    this.pickClips();
    const { clip, second } = this;
    if (clip?.strip) {
      const { codes, marks, error } = replay(clip.strip, this.edits, second?.strip ?? null);
      [this.codes, this.marks, this.error] = [codes, marks, error];
      this.main.show(this.shown(codes, clip, marks));
    } else {
      [this.codes, this.marks, this.error] = [null, {}, ""];
      this.main.show(null);
    }
    this.side.show(second?.strip ? this.shown(second.strip, second, {}) : null);
    if (!second) this.showSecond(false);
    this.fillList();
    this.fillTakes();
    this.describe();
  }

  shown(codes, clip, marks) {
    const both = [this.clip, this.second];
    return {
      frames: codes.refs.length, rate: clip.rate, map: codes.refs.length ? codeMap(codes.ids, codes.codebooks, clip.size) : null,
      wave: clips.wave(codes.refs, both), segments: clips.segments(codes.refs, both), seams: clips.seams(codes.refs),
      marks: Object.entries(marks).map(([op, frame]) => ({ frame, text: op === "resample_from" ? "resample" : "redecode" })),
    };
  }

  fillList() {
    this.count.textContent = `${this.edits.length} edit${this.edits.length === 1 ? "" : "s"}`;
    this.list.replaceChildren(...this.edits.map((edit, i) => el("li", {}, `${describe(edit)} `,
      button("✕", `Take edit ${i + 1} away`, () => this.history.act(this.edits.filter((_, j) => j !== i))))));
  }

  fillTakes() {
    const several = this.takes.length > 1;
    this.takeChoice.hidden = !several;
    if (!several) return;
    this.takeChoice.replaceChildren(el("option", { value: "", textContent: `All ${this.takes.length} takes` }),
      ...this.takes.map((_, i) => el("option", { value: i, textContent: `Take ${i + 1} alone` })));
    this.takeChoice.value = this.edits[0]?.op === "take" ? this.edits[0].take : "";
  }

  showSecond(on) {
    [this.side.canvas.hidden, this.main.canvas.hidden] = [!on, on];
    this.tab.setAttribute("aria-pressed", on);
    this.describe();
  }

  get sounding() {
    return Boolean(this.clip?.sound || this.second?.sound);
  }

  say(words) {
    this.status.textContent = words;
    this.status.classList.add("miso-error");
  }

  /** Buttons and the line below, after whatever has changed. */
  describe() {
    const { timeline, codes, clip } = this, { start, end } = timeline, able = Boolean(codes) && !this.error;
    const selected = able && timeline === this.main && start < end;
    const enabled = { play: this.sounding, undo: this.history.undoable, redo: this.history.redoable, cut: selected, copy: codes && start < end,
      paste: able && this.pasteable, remove: selected, repeat: selected, pause: able, resample: able, redecode: able };
    for (const [command, on] of Object.entries(enabled)) this.buttons[command].disabled = !on;
    this.keepButton.disabled = this.keepCount.disabled = !able;
    this.replaceButton.hidden = this.firstCodebook.hidden = this.tab.hidden = !this.second;
    this.replaceButton.disabled = !able || this.main.start === this.main.end;
    this.status.classList.toggle("miso-error", Boolean(this.error));
    const frames = timeline.shown?.frames ?? 0, time = (n) => seconds(n / (clip?.rate ?? 12.5));
    this.status.textContent = this.error || (!clip ? `Run to see the codes${this.edits.length ? ` (${this.count.textContent})` : ""}`
      : !codes ? "These codes are too long to be shown here"
      : `${start < end ? `Frames ${start}–${end} (${time(end - start)})` : `Frame ${start} (${time(start)})`} of ${frames} (${time(frames)})`);
  }

  close() {
    this.enlarged.close();
    this.player.close();
    this.main.close();
    this.side.close();
    this.clip = this.second = this.codes = this.pasteable = null;
    this.takes = this.others = this.loaded = [];
  }
}

const editors = new WeakMap(); // node -> Editor

/** The widget of the type MISO_EDITS, as ComfyUI asks for it. */
export function editsWidget(node, name, data) {
  const editor = new Editor(node, name, data[1]?.default ?? "[]");
  editors.set(node, editor);
  return { widget: editor.widget, minWidth: WIDTH, minHeight: HEIGHT };
}

/** Show what nodes gave before the page rebuilt them. */
export const restoreEdits = (node) => editors.get(node)?.receive(lastOutput(node));
