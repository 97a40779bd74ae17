/** The live view of the sampler, and of Kept Codes: counters, a waveform that grows, and the sound while it is made. Events: see nodes/preview.py. */

import { button, el, fitted, fromBase64, onceAFrame, seconds, stopWords } from "./lib/dom.js";
import { addElement, after, api, hasInput, keepForTab, keptForTab, nameWorkflow, nodeOf, setProperty, withoutGrowth } from "./lib/graph.js";
import { Player } from "./lib/player.js";
import { RATE, loadSound } from "./lib/sound.js";
import { theme, whenLookChanges } from "./lib/theme.js";
import { Peaks, drawWaveform } from "./lib/waveform.js";

const HEIGHT = 96, NOTE = 36; // pixels; the second for a note of two lines
const SOUND = "miso_sound"; // the node's property that says whether to play
const views = new WeakMap(); // node -> LiveView

class LiveView {
  constructor(node) {
    this.node = node;
    this.peaks = new Peaks();
    this.player = null;
    this.prompt = null; // the run that is shown
    this.last = null; // how it ended: the last event of the server
    this.counts = el("div", { textContent: "Not run yet", role: "status" });
    this.pace = el("div", { className: "miso-grow miso-faint" });
    this.replay = button("▶ Replay", "Play the first take again", () => this.playAgain(), { hidden: true });
    this.sound = button("Sound", "Play the first take while it is made", () => this.setSound(!this.on));
    this.note = el("div", { className: "miso-error", hidden: true });
    this.silent = el("div", { className: "miso-silent miso-faint", hidden: true });
    this.canvas = el("canvas", { role: "img", "aria-label": "Waveform of the first take" });
    this.root = el("div", { className: "miso", role: "group", "aria-label": "Live playback" },
      this.counts, this.note, el("div", { className: "miso-row miso-live-row" }, this.pace, this.replay, this.sound), this.silent, this.canvas);
    this.draw = onceAFrame(() => this.drawNow());
    this.look = whenLookChanges(this.canvas, this.draw);
    this.widget = addElement(node, "live", "miso_live", this.root, { height: HEIGHT });
    this.widget.options.getMinHeight = () => this.height + 20;
    this.growing = withoutGrowth(node, () => this.height - HEIGHT);
    after(node, "onConfigure", () => {
      nameWorkflow();
      this.showState();
      setTimeout(() => this.restore()); // when the workflow is there as a whole
    });
    after(node, "onExecuted", (output) => this.showEnd(output?.miso_preview?.[0]));
    after(node, "onConnectionsChange", () => this.showState());
    after(node, "onRemoved", () => this.close());
    this.showState();
  }

  get on() {
    return this.node.properties?.[SOUND] === true;
  }

  setSound(on) {
    if (!on) this.stop();
    setProperty(this.node, SOUND, on);
    this.showState();
  }

  /** Buttons and what is in the waveform's place, after whatever has changed. */
  showState() {
    this.growing();
    this.sound.setAttribute("aria-pressed", this.on);
    this.sound.textContent = `Sound ${this.on ? "on" : "off"}`;
    this.replay.hidden = !this.last?.sound;
    this.replay.textContent = this.again ? "■ Stop" : "▶ Replay";
    this.replay.setAttribute("aria-pressed", Boolean(this.again));
    this.silent.textContent = !hasInput(this.node, "preview") ? "Connect a vocoder to preview to hear this"
      : this.last?.vocoder === false ? "Run again to hear this" : "";
    this.silent.hidden = !this.silent.textContent;
    this.canvas.hidden = !this.silent.hidden;
    this.note.textContent = this.note.title = this.last?.note ?? "";
    this.note.hidden = !this.note.textContent;
    this.root.style.minHeight = `${this.height}px`;
  }

  get height() {
    return HEIGHT + (this.note.hidden ? 0 : NOTE);
  }

  /** A new run begins. */
  begin(prompt) {
    this.prompt = prompt;
    this.stop();
    this.peaks.clear();
    this.frames = this.most = 0;
    this.last = null;
    this.showState();
    this.draw();
  }

  count(detail) {
    const { prompt_id, frame, frames_max, given = 0, seconds: length, speed, stops } = detail;
    if (prompt_id !== this.prompt) this.begin(prompt_id);
    [this.frames, this.most] = [frame, frames_max];
    this.counts.setAttribute("aria-busy", !stops); // a screen reader says how it ended, not ten numbers a second
    this.counts.textContent = [`${given + frame}${stops ? "" : ` of ${given + frames_max}`} frames${given ? ` (${given} of the prefix)` : ""}`,
      seconds(length), stops && stopWords(stops)].filter(Boolean).join(" · ");
    this.pace.textContent = speed == null ? "saved result" : `${speed.toFixed(speed < 1 ? 2 : 1)}× real time`;
    if (stops) {
      this.last = detail;
      keepForTab(this.node, { ...detail, line: keptForTab(this.node)?.line }); // a block may say something too
      this.player?.finish();
      this.showState();
    }
    this.draw();
  }

  /** After a reload of the page: show how the last run ended. */
  restore() {
    if (this.prompt === null) this.showEnd(keptForTab(this.node));
  }

  /** Show how a run ended that was not seen here: one before the page was opened, or whose result is used again. */
  async showEnd(last) {
    if (!last?.stops || last.prompt_id === this.prompt) return;
    this.count(last);
    this.pace.textContent = "the last run";
    const samples = last.sound && (await loadSound(last.sound));
    if (this.last !== last) return; // another began meanwhile
    if (samples) this.peaks.append(samples);
    else last.sound = null; // gone: ComfyUI was started again
    this.showState();
    this.draw();
  }

  hear({ prompt_id, start, end, given, sample_rate, pcm }) {
    if (prompt_id !== this.prompt) this.begin(prompt_id);
    const samples = Float32Array.from(fromBase64(pcm, Int16Array), (x) => x / 32767);
    if (start > this.peaks.samples) this.peaks.append(new Float32Array(start - this.peaks.samples)); // chunks from before this page was opened
    this.peaks.append(samples);
    if (this.on) this.playerAt(sample_rate).enqueue(start >= given ? samples : samples.subarray(Math.max(0, Math.min(given, end) - start))); // a prefix is known already
    this.draw();
  }

  playerAt(rate) {
    if (this.player?.rate !== rate) {
      this.player?.close();
      this.player = new Player(rate);
    }
    return this.player;
  }

  async playAgain() {
    if (this.again) return this.stop();
    const { last } = this, again = this.again = {};
    this.showState();
    const samples = await loadSound(last.sound);
    if (this.again !== again) return; // stopped meanwhile
    if (samples) this.playerAt(RATE).play(samples, () => this.stop());
    else {
      last.sound = null;
      this.stop();
    }
  }

  stop() {
    this.player?.stop();
    this.again = null;
    this.showState();
  }

  drawNow() {
    const fit = fitted(this.canvas);
    if (!fit) return;
    const { context, width, height } = fit, colours = theme(this.root);
    context.fillStyle = colours.empty;
    context.fillRect(0, 0, width, height);
    // the time limit is far off and speech mostly ends before: show twice what there is, a doubling at a time
    let blocks = 200;
    while (blocks < this.peaks.length) blocks *= 2;
    if (this.peaks.length) {
      drawWaveform(context, { x: 0, y: 0, width: Math.min(width, (width * this.peaks.length) / blocks), height }, this.peaks, 0, this.peaks.length, colours.wave);
    } else if (this.most) {
      context.fillStyle = colours.wave;
      context.fillRect(0, height / 2 - 2, (width * this.frames) / this.most, 4);
    }
  }

  close() {
    this.draw.cancel();
    this.look.disconnect();
    this.player?.close();
    this.player = null;
    views.delete(this.node);
  }
}

export const LIVE_NODES = ["MisoBackboneSampler", "MisoBestOfN", "MisoStoredCodes", "MisoDialogue", "MisoLongText"];

export function addLiveView(node) {
  views.set(node, new LiveView(node));
}

/** Listen to the server; once. */
export function listen() {
  api.addEventListener("miso.preview", ({ detail }) => views.get(nodeOf(detail.node))?.count(detail));
  api.addEventListener("miso.preview.audio", ({ detail }) => views.get(nodeOf(detail.node))?.hear(detail));
}
