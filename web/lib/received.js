/** What the server sent the editor, and the clips made of it. Payload: see nodes/editor.py. */

import { Clip, seams, segments, wave } from "./clip.js";
import { codeMap } from "./codemap.js";
import { wordsIn } from "./words.js";

export class Received {
  /** `onload` is called when a clip's sound has come. */
  constructor(onload) {
    this.onload = onload;
    this.clear();
  }

  clear() {
    this.takes = this.others = [];
    this.about = {}; // what the edits are about
    this.clip = this.second = null;
    this.loaded = []; // clips whose sound needn't be loaded again
  }

  /** @returns {boolean} whether there was anything in a node's output */
  take(output) {
    const sent = output?.miso_codes;
    if (!Array.isArray(sent)) return false;
    this.about = output.miso_edits?.[0] ?? {};
    this.takes = sent.filter((take) => take.input === "codes");
    this.others = sent.filter((take) => take.input === "other");
    this.clip = this.second = null;
    return true;
  }

  /** Make the clips of take `wanted`, if they aren't made. */
  choose(wanted) {
    this.clip = this.#pick(this.takes, wanted, this.clip, false);
    this.second = this.#pick(this.others, this.others.length === this.takes.length ? wanted : 0, this.second, true);
    this.loaded = this.both.filter(Boolean);
  }

  get both() {
    return [this.clip, this.second];
  }

  /** What a Timeline shows of `codes`, which are made of frames of both clips. */
  shown(codes, clip, marks) {
    return {
      frames: codes.refs.length, rate: clip.rate, map: codes.refs.length ? codeMap(codes.ids, codes.codebooks, clip.size) : null,
      wave: wave(codes.refs, this.both), words: wordsIn(codes.refs, this.both), segments: segments(codes.refs, this.both), seams: seams(codes.refs),
      marks: Object.entries(marks).map(([op, frame]) => ({ frame, text: op === "resample_from" ? "resample" : "redecode" })),
    };
  }

  #pick(list, index, clip, second) {
    const sent = list[index] ?? null;
    if ((clip?.sent ?? null) === sent) return clip;
    if (!sent) return null;
    const made = new Clip(sent, second);
    const known = this.loaded.find((clip) => clip.sent.sound?.filename === sent.sound?.filename);
    made.load(known).then(() => this.both.includes(made) && this.onload());
    return made;
  }
}
