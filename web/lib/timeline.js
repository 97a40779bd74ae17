/** A timeline on a canvas: ruler, segments with their text, words, waveform, codebook map; a selection made with mouse or keys. */

import { drawCodeMap } from "./codemap.js";
import { el, fitted, onceAFrame } from "./dom.js";
import { quietest } from "./quiet.js";
import { theme, whenLookChanges } from "./theme.js";
import { drawWaveform } from "./waveform.js";
import { drawWords, neighbour, wordAt } from "./words.js";

const RULER = 17, LINE = 16, WORDS = 17, GAP = 3, SNAP = 7, CLOSEST = 8; // pixels; the last is frames shown at most zoom
const FLOOR = 0.003; // -50 dB: what is no louder is not drawn as loud
const STEPS = [0.08, 0.16, 0.4, 0.8, 2, 4, 8, 20, 40, 80, 200, 400]; // seconds: whole frames at 12.5 a second

/**
 * What a timeline shows.
 * @typedef {object} Shown
 * @property {number} frames
 * @property {number} rate frames a second
 * @property {HTMLCanvasElement|null} map
 * @property {{perFrame: number, sources: {peaks: Peaks, blockOf: (block: number) => number}[]}|null} wave blocks of sound a frame, and
 *   for each sound the frames come from, which of its blocks is shown where (-1: none)
 * @property {{start: number, end: number, text: string}[]} segments
 * @property {import("./words.js").Word[]} words
 * @property {number[]} seams frames where a join was made
 * @property {{frame: number, text: string}[]} marks
 */

export class Timeline {
  /**
   * @param {{onselect: Function, snaps: () => boolean, maps: () => boolean, onword: Function}} options `maps`: whether the code map is
   *   drawn; `onword`: a word was double-clicked
   */
  constructor({ onselect, snaps, maps = () => true, onword = () => {} }) {
    Object.assign(this, { onselect, snaps, maps, onword });
    this.shown = null;
    this.start = this.end = this.anchor = this.cursor = 0;
    this.from = 0;
    this.to = 1;
    this.playhead = null;
    this.canvas = el("canvas", { className: "miso-timeline", tabIndex: 0, role: "application", "aria-label": "Timeline", "data-capture-wheel": "true",
      onpointerdown: (e) => this.pressed(e), onpointermove: (e) => this.dragged(e), onpointerup: (e) => this.released(e), ondblclick: (e) => this.doubleClicked(e) });
    // ComfyUI's own undo leaves alone what edits text: it has a history of its own, as this has. Older pages ask for the first, newer for the second
    Object.defineProperties(this.canvas, { type: { value: "textarea" }, isContentEditable: { value: true } });
    this.canvas.addEventListener("wheel", (e) => this.wheeled(e), { passive: false });
    this.draw = onceAFrame(() => this.drawNow());
    this.look = whenLookChanges(this.canvas, this.draw);
  }

  /** @param {Shown|null} shown */
  show(shown) {
    const before = this.shown?.frames ?? 0, frames = shown?.frames ?? 0;
    const whole = this.from === 0 && this.to === Math.max(1, before);
    this.shown = shown;
    if (whole || !before) this.fit();
    else this.view(this.from, this.to);
    this.select(Math.min(this.anchor, frames), Math.min(this.cursor, frames));
  }

  close() {
    this.draw.cancel();
    this.look.disconnect();
    this.shown = null;
    this.canvas.width = this.canvas.height = 0;
  }

  // the selection: frames start..end-1, from the anchor to the cursor; none if both are one

  select(anchor, cursor) {
    [this.anchor, this.cursor] = [anchor, cursor];
    [this.start, this.end] = [Math.min(anchor, cursor), Math.max(anchor, cursor)];
    this.draw();
    this.onselect();
  }

  moveTo(frame, extend) {
    const place = Math.max(0, Math.min(this.shown?.frames ?? 0, frame));
    this.select(extend ? this.anchor : place, place);
    if (place < this.from || place > this.to) this.view(place - (this.to - this.from) / 2, place + (this.to - this.from) / 2);
  }

  get words() {
    return this.shown?.words ?? [];
  }

  /** Frames where segments, words and joins end. */
  get edges() {
    const { segments, seams, frames } = this.shown;
    return [...new Set([0, ...[...segments, ...this.words].flatMap((s) => [s.start, s.end]), ...seams, frames])].sort((a, b) => a - b);
  }

  nextEdge(direction) {
    const beyond = this.edges.filter((edge) => (edge - this.cursor) * direction > 0);
    return (direction > 0 ? beyond[0] : beyond.at(-1)) ?? this.cursor;
  }

  segmentAt(frame) {
    const edges = [0, ...this.shown.segments.flatMap((s) => [s.start, s.end]), ...this.shown.seams, this.shown.frames];
    return [Math.max(...edges.filter((edge) => edge <= frame)), Math.min(...edges.filter((edge) => edge > frame), this.shown.frames)];
  }

  /** Select a word; with `extend` all from where the selection began to it. */
  selectWord({ start, end }, extend) {
    const [from, to] = extend ? [Math.min(this.start, start), Math.max(this.end, end)] : [start, end];
    this.select(from, to);
    if (start < this.from || end > this.to) this.view(start - (this.to - this.from) / 2, start + (this.to - this.from) / 2);
  }

  /** The word under the mouse; undefined if that is not in the row of words. */
  wordUnder(event) {
    const box = this.canvas.getBoundingClientRect(), y = ((event.clientY - box.top) / box.height) * this.canvas.clientHeight - RULER - LINE;
    return this.words.length && y >= 0 && y < WORDS ? wordAt(this.words, this.frameAt(event)) : undefined;
  }

  // the view: frames from..to

  fit() {
    this.view(0, Math.max(1, this.shown?.frames ?? 1));
  }

  view(from, to) {
    const frames = Math.max(1, this.shown?.frames ?? 1), length = Math.min(frames, Math.max(Math.min(CLOSEST, frames), to - from));
    this.from = Math.max(0, Math.min(frames - length, from));
    this.to = this.from + length;
    this.draw();
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    this.view(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  x(frame, width = this.canvas.clientWidth) {
    return ((frame - this.from) / (this.to - this.from)) * width;
  }

  frameAt(event) {
    const box = this.canvas.getBoundingClientRect(); // scaled by the graph's zoom, unlike clientWidth
    return this.from + ((event.clientX - box.left) / box.width) * (this.to - this.from);
  }

  // the mouse

  /** Snapping: an edge nearby, or else the quietest place around. */
  boundaryAt(event) {
    const exact = this.frameAt(event), reach = (SNAP / this.canvas.clientWidth) * (this.to - this.from), { frames, wave } = this.shown;
    const frame = Math.max(0, Math.min(frames, Math.round(exact)));
    if (!this.snaps()) return frame;
    const nearest = this.edges.reduce((a, b) => (Math.abs(b - exact) < Math.abs(a - exact) ? b : a), Infinity);
    return Math.abs(nearest - exact) < reach ? nearest : quietest(wave, frame, frames);
  }

  pressed(event) {
    if (!this.shown || event.button) return;
    event.stopPropagation(); // the graph would move the node
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    const word = this.wordUnder(event);
    if (word) return this.selectWord(word, event.shiftKey);
    this.dragging = true;
    this.moveTo(this.boundaryAt(event), event.shiftKey);
  }

  dragged(event) {
    if (!this.dragging || !this.shown) return;
    event.stopPropagation();
    this.moveTo(this.boundaryAt(event), true);
  }

  released(event) {
    if (this.dragging) event.stopPropagation();
    this.dragging = false;
  }

  doubleClicked(event) {
    if (!this.shown?.frames) return;
    event.stopPropagation();
    const word = this.wordUnder(event);
    if (!word) return this.select(...this.segmentAt(this.frameAt(event)));
    this.selectWord(word, false);
    this.onword();
  }

  wheeled(event) {
    if (!this.shown || document.activeElement !== this.canvas) return; // the graph's own, unless one is at work here
    event.preventDefault();
    event.stopPropagation();
    const width = this.to - this.from, sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (sideways) this.view(this.from + (sideways / 500) * width, this.to + (sideways / 500) * width);
    else this.zoom(2 ** (event.deltaY / 300), this.frameAt(event));
  }

  /** Keys that move and select. Whether this one was. */
  key(event) {
    if (!this.shown) return false;
    const { key, shiftKey: extend } = event, control = event.ctrlKey || event.metaKey;
    const way = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (way && event.altKey) {
      const word = neighbour(this.words, this.start, this.end, way);
      if (word) this.selectWord(word, extend);
    } else if (way) this.moveTo(control ? this.nextEdge(way) : this.cursor + way, extend);
    else if (key === "Home") this.moveTo(0, extend);
    else if (key === "End") this.moveTo(this.shown.frames, extend);
    else if (control && key.toLowerCase() === "a") this.select(0, this.shown.frames);
    else if (key === "Escape" && this.start < this.end) this.select(this.cursor, this.cursor);
    else if (!control && (key === "+" || key === "=")) this.zoom(0.5, this.cursor);
    else if (!control && key === "-") this.zoom(2, this.cursor);
    else if (!control && key === "0") this.fit();
    else return false;
    return true;
  }

  // drawing

  drawNow() {
    const fit = fitted(this.canvas);
    if (!fit) return;
    const { context, width, height } = fit, colours = theme(this.canvas), { shown } = this;
    context.font = `11px ${colours.font}`;
    context.textBaseline = "middle";
    if (!shown) return;
    const top = RULER + LINE + (this.words.length ? WORDS : 0), body = { x: 0, y: top, width, height: height - top };
    const mapped = shown.map && this.maps();
    const waveHeight = !shown.wave ? 0 : mapped ? Math.round(body.height * 0.45) : body.height;
    context.fillStyle = colours.empty;
    context.fillRect(0, body.y, this.x(Math.min(shown.frames, this.to), width), body.height);
    if (shown.wave) this.drawWave(context, { ...body, height: waveHeight }, colours);
    if (mapped) drawCodeMap(context, { ...body, y: body.y + waveHeight + GAP, height: body.height - waveHeight - GAP }, shown.map, this.from, this.to);
    this.drawRuler(context, width, colours);
    this.drawSegments(context, width, height, colours);
    drawWords(context, { y: RULER + LINE, width, height: WORDS }, this.words, this.from, this.to, (frame) => this.x(frame, width), colours);
    this.drawSelection(context, width, height, colours);
  }

  drawWave(context, box, colours) {
    const { sources, perFrame } = this.shown.wave, gain = 1 / Math.max(FLOOR, ...sources.map(({ peaks }) => peaks.loudest));
    for (const { peaks, blockOf } of sources) drawWaveform(context, box, peaks, this.from * perFrame, this.to * perFrame, colours.wave, blockOf, gain);
  }

  drawRuler(context, width, colours) {
    const { rate } = this.shown, pixels = width / ((this.to - this.from) / rate); // a second
    const step = STEPS.find((s) => s * pixels >= 85) ?? STEPS.at(-1);
    context.fillStyle = colours.faint;
    context.textAlign = "left";
    for (let i = Math.floor(this.from / rate / step); ; i++) {
      const frame = Math.round(i * step * rate), x = this.x(frame, width);
      if (x > width) break;
      context.fillRect(Math.round(x), RULER - 5, 1, 5);
      const label = `${+(i * step).toFixed(2)} s · ${frame}`;
      if (x + context.measureText(label).width < width) context.fillText(label, x + 3, RULER / 2 - 1);
    }
    context.fillRect(0, RULER - 1, width, 1);
  }

  drawSegments(context, width, height, colours) {
    for (const { start, end, text } of this.shown.segments) {
      const [left, right] = [Math.max(0, this.x(start, width)), Math.min(width, this.x(end, width))];
      if (right <= 0 || left >= width) continue;
      context.fillStyle = colours.line;
      context.fillRect(left, RULER, 1, height - RULER);
      context.save();
      context.beginPath();
      context.rect(left + 3, RULER, Math.max(0, right - left - 5), LINE);
      context.clip();
      context.fillStyle = colours.text;
      context.fillText(text, left + 4, RULER + LINE / 2);
      context.restore();
    }
    context.strokeStyle = colours.mark;
    context.setLineDash([3, 3]);
    for (const seam of this.shown.seams) {
      const x = Math.round(this.x(seam, width)) + 0.5;
      context.beginPath();
      context.moveTo(x, RULER + LINE);
      context.lineTo(x, height);
      context.stroke();
    }
    context.setLineDash([]);
    for (const { frame, text } of this.shown.marks) {
      const x = Math.min(width - 2, this.x(frame, width)), label = context.measureText(text).width + 8;
      context.fillStyle = colours.mark;
      context.fillRect(x, RULER + LINE, 2, height);
      const left = x + label > width ? x - label : x;
      context.fillRect(left, RULER + LINE, label, 15);
      context.fillStyle = colours.back;
      context.fillText(text, left + 4, RULER + LINE + 8);
    }
  }

  drawSelection(context, width, height, colours) {
    const [left, right] = [this.x(this.start, width), this.x(this.end, width)];
    context.fillStyle = colours.select;
    context.fillRect(left, 0, right - left, height);
    context.fillStyle = colours.accent;
    const cursor = Math.max(0, Math.min(width - 2, this.x(this.cursor, width) - 1));
    context.fillRect(cursor, 0, 2, height);
    if (this.playhead !== null) {
      context.fillStyle = colours.text;
      context.fillRect(this.x(this.playhead, width), 0, 1, height);
    }
  }
}
