/** The Code Editor: a timeline with commands, whose value is a list of operations (see miso/codes/editing/edits.py). */

import { pasted } from "./lib/clipboard.js";
import { commandOf } from "./lib/commands.js";
import { MARKS, MISFIT, cutOut, fits, replay, stampFor, withOperation } from "./lib/edits.js";
import { addElement, after, api, changed, isConnected, lastOutput, nodeOf, outputPlace, setProperty } from "./lib/graph.js";
import { History } from "./lib/history.js";
import { fillTakes, layOut } from "./lib/layout.js";
import { Playback } from "./lib/playback.js";
import { pointAt } from "./lib/pointer.js";
import { Received } from "./lib/received.js";
import { describeSelection } from "./lib/selection.js";
import { textOf } from "./lib/words.js";

const HEIGHT = 340, WIDTH = 560;
const MAP = "miso_map"; // the node's property that says whether the code map is drawn

class Editor {
  constructor(node, name, value) {
    this.node = node;
    this.history = new History(value, () => this.edited());
    this.received = new Received(() => this.update());
    this.pasteable = null;
    Object.assign(this, layOut(this));
    this.playback = new Playback(this.buttons.play);
    this.widget = addElement(node, name, "miso_edits", this.root, {
      height: HEIGHT, saved: true, getValue: () => this.history.text, setValue: (text) => this.setValue(text) });
    after(node, "onExecuted", (output) => this.receive(output));
    after(node, "onConfigure", () => this.configured());
    after(node, "onConnectionsChange", () => this.describe());
    after(node, "onRemoved", () => this.close());
    this.update();
  }

  get timeline() {
    return this.side.canvas.hidden ? this.main : this.side;
  }

  get clip() { return this.received.clip; }
  get second() { return this.received.second; }
  get about() { return this.received.about; }

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

  /** Other edits, made for the codes that are shown. */
  act(edits) {
    this.history.act(edits, this.misfit || !this.about.codes ? this.history.madeFor : stampFor(edits, this.about));
  }

  /** Nothing can be edited while the edits don't fit. */
  get editable() {
    return Boolean(this.clip?.strip) && !this.error && !this.misfit;
  }

  /** One operation more; then select frames `start`..`end`. */
  add(operation, start = this.main.anchor, end = this.main.cursor) {
    if (!this.editable) return;
    this.act(withOperation(this.edits, operation, this.codes, this.second?.strip));
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
    if (!this.pasteable || !this.editable) return;
    this.showSecond(false);
    const state = { edits: this.edits, original: this.clip.strip, codes: this.codes, second: this.second?.strip ?? null };
    const made = pasted(this.pasteable, this.main.cursor, state);
    if (!made) return this.say("What was cut is no longer in the codes: undo as far as that, or copy something else.");
    this.act(made.edits);
    this.main.select(made.start, made.end);
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
    if (this.about.silence) return this.say(this.about.silence);
    const frames = Math.max(1, Math.round(+this.pauseFrames.value) || 1), at = this.main.cursor;
    this.add({ op: "insert_silence", at, frames }, at, at + frames);
  }

  replace(first) {
    const { start, end } = this.main;
    if (start < end && this.second?.strip) this.add({ op: "replace_codebooks", start, end, first, from: this.side.start });
  }

  resample() {
    this.mark("resample_from");
    if (this.unconnected) this.showPrefix();
  }

  /** Whether a mark asks for the rest to be said anew, and no sampler would. */
  get unconnected() {
    return this.marks.resample_from !== undefined && !isConnected(this.node, "prefix");
  }

  showPrefix() {
    if (this.enlarged.dialog) this.enlarged.toggle(); // the output is behind it
    pointAt(() => outputPlace(this.node, "prefix"), () => Boolean(this.node.graph) && this.unconnected);
  }

  redecode() {
    this.mark("redecode_from");
  }

  mark(op) {
    if (!this.editable) return;
    const frame = this.main.cursor, rest = this.edits.filter((e) => e.op !== op);
    if (this.marks[op] === frame) this.act(rest);
    else if (op === "redecode_from" && rest.some((e) => !MARKS.includes(e.op))) this.say("Redecoding needs unedited codes: their hidden states fit no others.");
    else this.add({ op, frame });
  }

  chooseTake(choice) {
    const rest = this.edits.filter((e) => e.op !== "take");
    this.act(choice === "" ? rest : withOperation(rest, { op: "take", take: +choice }));
  }

  play() {
    if (this.playback.playing) return this.playback.stop();
    const { timeline } = this, shown = timeline === this.main ? this.codes : this.second?.strip;
    if (shown && this.sounding) this.playback.play(timeline, shown.refs, this.received.both);
  }

  playWord() {
    if (this.playback.playing) this.playback.stop();
    this.play();
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

  showMap(on) {
    setProperty(this.node, MAP, on);
    this.configured();
  }

  // what the server sent

  configured() {
    this.map.checked = this.node.properties?.[MAP] !== false;
    this.receive(lastOutput(this.node));
    for (const timeline of [this.main, this.side]) timeline.draw();
  }

  receive(output) {
    if (this.received.take(output)) this.update();
  }

  /** Replay the edits and show what comes out. */
  update() {
    this.playback.stop();
    this.received.choose(this.edits[0]?.op === "take" ? this.edits[0].take : 0);
    const { clip, second } = this;
    this.misfit = Boolean(clip && this.about.codes && !fits(this.history.madeFor, this.about));
    const nothing = { codes: clip?.strip ?? null, marks: {}, error: "", wrong: -1 };
    const replayed = clip?.strip && !this.misfit ? replay(clip.strip, this.edits, second?.strip ?? null) : nothing;
    [this.codes, this.marks, this.error] = [replayed.codes, replayed.marks, replayed.error];
    this.main.show(clip?.strip ? this.received.shown(this.codes, clip, this.marks) : null);
    this.list.show(this.edits, this.misfit ? -1 : replayed.wrong);
    this.side.show(second?.strip ? this.received.shown(second.strip, second, {}) : null);
    if (!second) this.showSecond(false);
    fillTakes(this.takeChoice, this.received.takes.length, this.edits[0]?.op === "take" ? this.edits[0].take : "");
    this.describe();
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
    this.status.textContent = this.status.title = words;
    this.status.classList.add("miso-error");
  }

  /** Buttons and the line below, after whatever has changed. */
  describe() {
    const { timeline, codes, clip } = this, { start, end } = timeline, able = this.editable;
    const selected = able && timeline === this.main && start < end;
    const enabled = { play: this.sounding, undo: this.history.undoable, redo: this.history.redoable, cut: selected, copy: codes && start < end,
      paste: able && this.pasteable, remove: selected, repeat: selected, pause: able && !this.about.silence, resample: able, redecode: able };
    for (const [command, on] of Object.entries(enabled)) this.buttons[command].disabled = !on;
    this.buttons.pause.title = this.about.silence || "Insert silence at the cursor (S)";
    this.codebooks.enable(able, Boolean(this.second), this.main.start < this.main.end);
    this.tab.hidden = !this.second;
    this.status.classList.remove("miso-error");
    const frames = timeline.shown?.frames ?? 0;
    this.status.textContent = this.status.title = !clip ? `Run to see the codes${this.edits.length ? ` (${this.list.count.textContent})` : ""}`
      : !codes ? "These codes are too long to be shown here"
      : describeSelection(textOf(timeline.words, start, end), start, end, frames, clip.rate ?? 12.5);
    this.notice();
  }

  /** What is wrong with the edits, or still to be done. */
  notice() {
    const clear = ["Clear edits", "Take all edits away", () => this.act([])];
    if (this.misfit) {
      const apply = () => this.history.act(this.edits, stampFor(this.edits, this.about));
      this.list.say(MISFIT, true, [["Apply anyway", "Apply these edits to this take", apply], clear]);
    } else if (this.error) this.list.say(`${this.error}. Take it away below, or clear the edits.`, true, [clear]);
    else if (this.unconnected) this.list.say("Connect the editor's prefix output to a Backbone Sampler's prefix.", false, [["Show", "Show the prefix output", () => this.showPrefix()]]);
    else this.list.say("");
  }

  close() {
    this.enlarged.close();
    this.playback.close();
    this.main.close();
    this.side.close();
    this.received.clear();
    this.codes = this.pasteable = null;
  }
}

const editors = new WeakMap(); // node -> Editor

/** The widget of the type MISO_EDITS, as ComfyUI asks for it. */
export function editsWidget(node, name, data) {
  const editor = new Editor(node, name, data[1]?.default ?? "[]");
  editors.set(node, editor);
  return { widget: editor.widget, minWidth: WIDTH, minHeight: HEIGHT };
}

/** Show where edits didn't fit: of blocks that failed, there is no output. Once. */
export const listenForMisfits = () => api.addEventListener("miso.misfit", ({ detail }) => editors.get(nodeOf(detail.node))?.receive(detail));

/** Show what nodes gave before the page rebuilt them. */
export const restoreEdits = (node) => editors.get(node)?.receive(lastOutput(node));
