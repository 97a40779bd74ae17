/** What pasting a piece of codes means, as edits: a move, a copy, or an insertion from the second codes. */

import { cutOut, find, replay, withOperation } from "./edits.js";

/**
 * @param {object} piece what was cut or copied (see `cutOut`)
 * @param {number} at the frame before which it is pasted
 * @param {{edits: object[], original: object, codes: object, second: object|null}} state `codes`: after the edits; `second`: other codes
 * @returns {{edits: object[], start: number, end: number}|null} the edits then, and the frames of the piece; null if it is nowhere any more
 */
export function pasted(piece, at, { edits, original, codes, second }) {
  const length = piece.refs.length, after = { start: at, end: at + length };
  const adding = (operation) => ({ edits: withOperation(edits, operation, codes, second), ...after });
  const place = find(codes, piece), last = edits.at(-1);
  if (place >= 0) return adding({ op: "copy", start: place, end: place + length, to: at });
  const other = second ? find(second, piece) : -1;
  if (other >= 0) return adding({ op: "insert", at, start: other, end: other + length });
  if (last?.op !== "delete" || last.end - last.start !== length) return null;
  // what was cut a moment ago: cut and paste are one move
  const to = at <= last.start ? at : at + length, before = edits.slice(0, -1);
  if (find(cutOut(replay(original, before, second).codes, last.start, last.end), piece) !== 0) return null;
  return { edits: [...before, ...(to === last.start ? [] : [{ op: "move", start: last.start, end: last.end, to }])], ...after };
}
