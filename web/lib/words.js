/** Words on the timeline: where they lie in codes made of frames of clips, which of them is where, and how they are drawn. */

const NARROW = 3; // pixels: what is no wider is not drawn

/**
 * @typedef {object} Word
 * @property {number} start  @property {number} end whole frames
 * @property {string} text  @property {boolean} low whether its place isn't sure
 */

/** The words of a take as they were sent, in whole frames that don't overlap: `{words, at}`, and which of them each frame is in (-1: none). */
export function wholeFrames(sent, frames) {
  const words = [], at = new Int32Array(frames).fill(-1);
  for (const { text, start, end, low } of sent ?? []) {
    const first = Math.max(Math.round(start), words.at(-1)?.end ?? 0), last = Math.min(frames, Math.max(Math.round(end), first + 1));
    if (first >= last) continue;
    at.fill(words.length, first, last);
    words.push({ text, start: first, end: last, low });
  }
  return { words, at };
}

/**
 * The words of a strip, in order; one that a cut goes through is none.
 * @param {Int32Array} refs  @param {(object|null)[]} clips
 * @returns {Word[]}
 */
export function wordsIn(refs, clips) {
  const found = [];
  for (const clip of clips) {
    if (!clip?.said.words.length) continue;
    for (let t = 0; t < refs.length; t++) {
      const frame = clip.frameOf(refs[t]), word = frame < 0 ? undefined : clip.said.words[clip.said.at[frame]];
      if (!word || frame !== word.start) continue;
      let length = 1;
      while (length < word.end - word.start && clip.frameOf(refs[t + length]) === frame + length) length++;
      if (length === word.end - word.start) found.push({ ...word, start: t, end: t + length });
    }
  }
  return found.sort((a, b) => a.start - b.start);
}

/** The index of the first word that ends after `frame`. */
export function firstAfter(words, frame) {
  let low = 0, high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].end > frame) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The word at a place, which need not be a whole frame; undefined between words. */
export function wordAt(words, place) {
  const word = words[firstAfter(words, place)];
  return word && word.start <= place ? word : undefined;
}

/** The word beyond the frames start..end-1, on the left (-1) or the right (1). */
export function neighbour(words, start, end, direction) {
  return direction > 0 ? words.slice(firstAfter(words, end)).find((word) => word.start >= end) : words.slice(0, firstAfter(words, start - 1) + 1).findLast((word) => word.end <= start);
}

/** The text of the words that lie in frames start..end-1. */
export function textOf(words, start, end) {
  const inside = [];
  for (let i = firstAfter(words, start); i < words.length && words[i].start < end; i++) if (words[i].start >= start && words[i].end <= end) inside.push(words[i].text);
  return inside.join(" ");
}

/** Draw the words of frames from..to into a row of the canvas. `x`: the place of a frame. Those that aren't sure are dotted and marked with "?". */
export function drawWords(context, { y, width, height }, words, from, to, x, colours) {
  for (let i = firstAfter(words, from); i < words.length && words[i].start < to; i++) {
    const { text, start, end, low } = words[i], left = x(start), right = x(end);
    if (right - left < NARROW) continue;
    context.fillStyle = colours.empty;
    context.fillRect(left + 1, y + 1, right - left - 1, height - 3);
    context.save();
    context.beginPath();
    context.rect(Math.max(0, left + 1), y, Math.min(width, right) - Math.max(0, left + 1), height);
    context.clip();
    context.fillStyle = low ? colours.mark : colours.text;
    context.fillText(low ? `${text} ?` : text, Math.max(0, left) + 3, y + height / 2);
    if (low) for (let dot = left + 2; dot < right; dot += 4) context.fillRect(dot, y + height - 3, 2, 2);
    context.restore();
  }
}
