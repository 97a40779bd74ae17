/** The live view of the sampler, and of Kept Codes: counters, a waveform that grows, and the sound while it is made. Events: see nodes/preview.py. */

import { button, el, fitted, fromBase64, onceAFrame, seconds, stopWords } from "./lib/dom.js";
import { addElement, after, api, changed, nodeOf } from "./lib/graph.js";
import { Player } from "./lib/player.js";
import { theme, whenLookChanges } from "./lib/theme.js";
import { Peaks, drawWaveform } from "./lib/waveform.js";

const SOUND = "miso_sound"; // the node's property that says whether to play
const views = new WeakMap(); // node -> LiveView

class LiveView {
  constructor(node) {
    this.node = node;
    this.peaks = new Peaks();
    this.player = null;
    this.prompt = null; // the run that is shown
    this.counts = el("div", { textContent: "Not run yet", role: "status" });
    this.pace = el("div", { className: "miso-grow miso-faint" });
    this.sound = button("Sound", "Play the first take while it is made", () => this.setSound(!this.on));
    this.canvas = el("canvas", { role: "img", "aria-label": "Waveform of the first take" });
    this.root = el("div", { className: "miso", role: "group", "aria-label": "Live playback" },
      this.counts, el("div", { className: "miso-row" }, this.pace, this.sound), this.canvas);
    this.draw = onceAFrame(() => this.drawNow());
    this.look = whenLookChanges(this.canvas, this.draw);
    this.showSound();
    addElement(node, "live", "miso_live", this.root, { height: 96 });
    after(node, "onConfigure", () => this.showSound());
    after(node, "onRemoved", () => this.close());
  }

  get on() {
    return this.node.properties?.[SOUND] === true;
  }

  setSound(on) {
    this.node.setProperty?.(SOUND, on);
    this.node.properties[SOUND] = on;
    if (!on) this.player?.stop();
    this.showSound();
    changed();
  }

  showSound() {
    this.sound.setAttribute("aria-pressed", this.on);
    this.sound.textContent = `Sound ${this.on ? "on" : "off"}`;
  }

  /** A new run begins. */
  begin(prompt) {
    this.prompt = prompt;
    this.player?.stop();
    this.peaks.clear();
    this.frames = this.most = 0;
    this.draw();
  }

  count({ prompt_id, frame, frames_max, seconds: length, speed, stops }) {
    if (prompt_id !== this.prompt) this.begin(prompt_id);
    [this.frames, this.most] = [frame, frames_max];
    this.counts.setAttribute("aria-busy", !stops); // a screen reader says how it ended, not ten numbers a second
    this.counts.textContent = `${frame}${stops ? "" : ` of ${frames_max}`} frames · ${seconds(length)}${stops ? ` · ${stopWords(stops)}` : ""}`;
    this.pace.textContent = speed == null ? "kept from an earlier run" : `${speed.toFixed(speed < 1 ? 2 : 1)}× real time`;
    if (stops) this.player?.finish();
    this.draw();
  }

  hear({ prompt_id, start, end, given, sample_rate, pcm }) {
    if (prompt_id !== this.prompt) this.begin(prompt_id);
    const samples = Float32Array.from(fromBase64(pcm, Int16Array), (x) => x / 32767);
    if (start > this.peaks.samples) this.peaks.append(new Float32Array(start - this.peaks.samples)); // chunks from before this page was opened
    this.peaks.append(samples);
    if (this.on) {
      if (this.player?.rate !== sample_rate) {
        this.player?.close();
        this.player = new Player(sample_rate);
      }
      this.player.enqueue(start >= given ? samples : samples.subarray(Math.max(0, Math.min(given, end) - start))); // a prefix is known already
    }
    this.draw();
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

export const LIVE_NODES = ["MisoBackboneSampler", "MisoStoredCodes"];

export function addLiveView(node) {
  views.set(node, new LiveView(node));
}

/** Listen to the server; once. */
export function listen() {
  api.addEventListener("miso.preview", ({ detail }) => views.get(nodeOf(detail.node))?.count(detail));
  api.addEventListener("miso.preview.audio", ({ detail }) => views.get(nodeOf(detail.node))?.hear(detail));
}
