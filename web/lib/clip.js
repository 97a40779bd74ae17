/** One take as the editor got it from the server: codes, text, and its sound once that is loaded. Payload: see nodes/editor.py. */

import { fromBase64 } from "./dom.js";
import { strip } from "./edits.js";
import { RATE, loadSound } from "./sound.js";
import { Peaks } from "./waveform.js";
import { wholeFrames } from "./words.js";

/** Blocks of the waveform in a frame. */
export const PER_FRAME = 8;

export class Clip {
  /** @param {object} sent  @param {boolean} second of the second input */
  constructor(sent, second = false) {
    Object.assign(this, { sent, second, rate: sent.frame_rate, size: sent.codebook_size, sound: null, peaks: null });
    this.frameSize = Math.round(RATE / sent.frame_rate);
    this.strip = sent.codes === null ? null : strip(fromBase64(sent.codes, Int16Array), sent.codebooks, second);
    this.spanOf = new Int32Array(sent.frames).fill(-1); // of each frame
    this.said = wholeFrames(sent.words, sent.frames);
    sent.spans.forEach((span, i) => this.spanOf.fill(i, span.start, span.end));
  }

  /** Load the sound, if there is one, unless the clip `known`, of the same file, has it already. */
  async load(known) {
    const file = this.sent.sound;
    if (!file) return;
    if (known?.sound) {
      [this.sound, this.peaks] = [known.sound, known.peaks];
      return;
    }
    const sound = await loadSound(file);
    if (!sound) return;
    this.sound = sound;
    this.peaks = new Peaks(this.frameSize / PER_FRAME);
    this.peaks.append(sound);
  }

  /** This clip's own frame of a reference in a strip, or -1. */
  frameOf(ref) {
    if (ref === undefined || ref === -1) return -1;
    return this.second === ref < 0 ? (this.second ? -2 - ref : ref) : -1;
  }
}

/** The clip and its frame behind a reference; null for silence. */
function behind(ref, clips) {
  for (const clip of clips) {
    const frame = clip?.frameOf(ref) ?? -1;
    if (frame >= 0) return { clip, frame };
  }
  return null;
}

/** Runs of frames that one segment says. */
export function segments(refs, clips) {
  const found = [];
  let last = null;
  refs.forEach((ref, t) => {
    const at = behind(ref, clips), span = at && at.clip.sent.spans[at.clip.spanOf[at.frame]];
    if (span && span === last) found.at(-1).end = t + 1;
    else if (span) found.push({ start: t, end: t + 1, text: span.text ? `${span.exact === false ? "about: " : ""}${span.text}` : `speaker ${span.speaker}` });
    last = span;
  });
  return found;
}

/** Frames that don't follow the one before in what they come from. */
export function seams(refs) {
  const found = [];
  for (let t = 1; t < refs.length; t++) {
    const next = refs[t - 1] === -1 ? -1 : refs[t - 1] + (refs[t - 1] < 0 ? -1 : 1);
    if (refs[t] !== next) found.push(t);
  }
  return found;
}

/** What a Timeline draws as waveform; null while there is no sound. */
export function wave(refs, clips) {
  const sources = clips.filter((clip) => clip?.peaks).map((clip) => ({
    peaks: clip.peaks,
    blockOf(block) {
      const frame = clip.frameOf(refs[Math.floor(block / PER_FRAME)]);
      return frame < 0 ? -1 : frame * PER_FRAME + (block % PER_FRAME);
    },
  }));
  return sources.length ? { perFrame: PER_FRAME, sources } : null;
}

/** The sound of frames in a row, cut from the clips they come from: near to what decoding will give, with a short fade at each join. */
export function samples(refs, clips) {
  const size = clips[0].frameSize, fade = 48, out = new Float32Array(refs.length * size), joins = new Set(seams(refs));
  refs.forEach((ref, t) => {
    const at = behind(ref, clips);
    if (!at?.clip.sound) return;
    const part = at.clip.sound.subarray(at.frame * size, (at.frame + 1) * size), start = t * size;
    out.set(part, start);
    if (joins.has(t)) for (let i = 0; i < fade; i++) out[start + i] *= i / fade;
    if (joins.has(t + 1)) for (let i = 0; i < fade; i++) out[start + size - 1 - i] *= i / fade;
  });
  return out;
}
