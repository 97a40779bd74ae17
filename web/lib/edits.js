/**
 * Edits replayed on the page's copy of the codes, to draw and play what the server will make. The operations are described, and
 * replayed for good, in miso/codes/editing/edits.py; as there, one that doesn't fit is an error that names it, and nothing is guessed.
 */

export const MARKS = ["resample_from", "redecode_from"];
const FROM_SECOND = ["insert", "replace_codebooks"];
const NAMES = {
  take: "Take", delete: "Delete", insert_silence: "Silence", copy: "Copy", move: "Move", repeat: "Repeat", insert: "Insert",
  replace_codebooks: "Replace codebooks", keep_codebooks: "Keep codebooks", resample_from: "Resample from here", redecode_from: "Redecode depth here",
};
export const MISFIT = "These edits were made for another take; nothing was applied.";

/** Which codes these edits are made for, the first entry of their list. `about`: digests of the codes and the second codes. */
export const stampFor = (edits, { codes, other }) =>
  ({ op: "made_for", codes, ...(other && edits.some((e) => FROM_SECOND.includes(e.op)) ? { other } : {}) });

/** Whether edits made for `stamp` (null: not known) belong to these codes. */
export const fits = (stamp, { codes, other }) => !stamp || (stamp.codes === codes && !(other && stamp.other !== undefined && stamp.other !== other));

/**
 * Frames in a row.
 * @typedef {object} Strip
 * @property {number} codebooks
 * @property {Int16Array} ids frame by frame: `ids[frame * codebooks + codebook]`; -1 where they aren't known (silence)
 * @property {Int32Array} refs where each frame comes from: frame f of the input is f, of the second input -2 - f, silence -1
 */

/** @returns {Strip} codes [K, T] as they are sent, turned to lie frame by frame */
export function strip(codes, codebooks, second = false) {
  const frames = codes.length / codebooks, ids = new Int16Array(codes.length);
  for (let k = 0; k < codebooks; k++) for (let t = 0; t < frames; t++) ids[t * codebooks + k] = codes[k * frames + t];
  return { codebooks, ids, refs: Int32Array.from({ length: frames }, (_, t) => (second ? -2 - t : t)) };
}

/** Frames `start`..`end` of a strip. */
export const cutOut = ({ codebooks, ids, refs }, start, end = refs.length) => ({ codebooks, ids: ids.subarray(start * codebooks, end * codebooks), refs: refs.subarray(start, end) });

function joined(parts) {
  const [{ codebooks }] = parts, frames = parts.reduce((sum, part) => sum + part.refs.length, 0);
  const ids = new Int16Array(frames * codebooks), refs = new Int32Array(frames);
  let at = 0;
  for (const part of parts) {
    ids.set(part.ids, at * codebooks);
    refs.set(part.refs, at);
    at += part.refs.length;
  }
  return { codebooks, ids, refs };
}

const silence = (frames, codebooks) => ({ codebooks, ids: new Int16Array(frames * codebooks).fill(-1), refs: new Int32Array(frames).fill(-1) });

function need(ok, problem) {
  if (!ok) throw new Error(problem);
}

function checkRange(codes, start, end, what = "the codes") {
  need(start <= end && end <= codes.refs.length, `it needs ${Math.max(start, end)} frames, and ${what} have ${codes.refs.length}`);
}

/** Each operation but marks: codes, the operation, the second codes (or null) -> new codes. */
const OPERATIONS = {
  delete(codes, { start, end }) {
    checkRange(codes, start, end);
    return joined([cutOut(codes, 0, start), cutOut(codes, end)]);
  },
  insert_silence(codes, { at, frames }) {
    checkRange(codes, at, at);
    return joined([cutOut(codes, 0, at), silence(frames, codes.codebooks), cutOut(codes, at)]);
  },
  copy(codes, { start, end, to }) {
    checkRange(codes, start, end);
    checkRange(codes, to, to);
    return joined([cutOut(codes, 0, to), cutOut(codes, start, end), cutOut(codes, to)]);
  },
  move(codes, { start, end, to }) {
    checkRange(codes, start, end);
    checkRange(codes, to, to);
    need(to <= start || to >= end, `frame ${to} lies within what is moved`);
    const moved = cutOut(codes, start, end);
    return to <= start
      ? joined([cutOut(codes, 0, to), moved, cutOut(codes, to, start), cutOut(codes, end)])
      : joined([cutOut(codes, 0, start), cutOut(codes, end, to), moved, cutOut(codes, to)]);
  },
  repeat(codes, { start, end, times }) {
    checkRange(codes, start, end);
    return joined([cutOut(codes, 0, end), ...Array(times).fill(cutOut(codes, start, end)), cutOut(codes, end)]);
  },
  insert(codes, { at, start, end }, second) {
    need(second, "no second codes are connected");
    need(second.codebooks === codes.codebooks, `the second codes have ${second.codebooks} codebooks, the first ${codes.codebooks}`);
    checkRange(codes, at, at);
    checkRange(second, start, end, "the second codes");
    return joined([cutOut(codes, 0, at), cutOut(second, start, end), cutOut(codes, at)]);
  },
  replace_codebooks(codes, { start, end, first, from }, second) {
    need(second, "no second codes are connected");
    need(second.codebooks === codes.codebooks, `the second codes have ${second.codebooks} codebooks, the first ${codes.codebooks}`);
    checkRange(codes, start, end);
    checkRange(second, from, from + end - start, "the second codes");
    need(first < codes.codebooks, `there is no codebook ${first}`);
    const ids = codes.ids.slice(), K = codes.codebooks;
    for (let t = start; t < end; t++) for (let k = first; k < K; k++) ids[t * K + k] = second.ids[(from + t - start) * K + k];
    return { ...codes, ids };
  },
  keep_codebooks(codes, { count }) {
    need(count >= 1 && count <= codes.codebooks, `${count} codebooks can't be kept of ${codes.codebooks}`);
    const frames = codes.refs.length, ids = new Int16Array(frames * count);
    for (let t = 0; t < frames; t++) ids.set(codes.ids.subarray(t * codes.codebooks, t * codes.codebooks + count), t * count);
    return { codebooks: count, ids, refs: codes.refs };
  },
};

/**
 * @param {Strip} codes the input's take
 * @param {object[]} edits
 * @param {Strip|null} second
 * @returns {{codes: Strip, marks: object, error: string, wrong: number}} up to the first operation that doesn't fit, `wrong` (-1: all
 *   do); `marks`: frame by mark
 */
export function replay(codes, edits, second) {
  const marks = {};
  for (const [i, operation] of edits.entries()) {
    try {
      if (operation.op === "take") need(i === 0, "a take is chosen first");
      else if (MARKS.includes(operation.op)) {
        checkRange(codes, operation.frame, operation.frame);
        marks[operation.op] = operation.frame;
      } else {
        need(Object.hasOwn(OPERATIONS, operation.op), "there is no such operation");
        codes = OPERATIONS[operation.op](codes, operation, second);
      }
    } catch (error) {
      return { codes, marks, error: `Edit ${i + 1} (${NAMES[operation.op] ?? operation.op}): ${error.message}`, wrong: i };
    }
  }
  return { codes, marks, error: "", wrong: -1 };
}

/** Where frame `frame` of `codes` is after an operation; if it is gone, where the next one is. */
function follow(codes, operation, second, frame) {
  const numbered = { codebooks: 1, ids: new Int16Array(codes.refs.length), refs: Int32Array.from(codes.refs, (_, i) => i) };
  const other = second && { codebooks: 1, ids: new Int16Array(second.refs.length), refs: new Int32Array(second.refs.length).fill(-1) };
  if (["replace_codebooks", "keep_codebooks"].includes(operation.op)) return frame;
  const { refs } = OPERATIONS[operation.op](numbered, operation, other);
  for (let next = frame; next < codes.refs.length; next++) {
    const at = refs.indexOf(next);
    if (at >= 0) return at;
  }
  return refs.length;
}

/**
 * The list with one operation more. Marks stay last, at the frame they marked; `redecode_from` goes, since hidden states fit
 * unedited codes alone.
 */
export function withOperation(edits, operation, codes, second) {
  if (operation.op === "take") return [operation, ...edits.filter((e) => e.op !== "take" && e.op !== "redecode_from")];
  if (MARKS.includes(operation.op)) return [...edits.filter((e) => e.op !== operation.op), operation];
  const marks = edits.filter((e) => e.op === "resample_from").map((e) => ({ ...e, frame: follow(codes, operation, second, e.frame) }));
  return [...edits.filter((e) => !MARKS.includes(e.op)), operation, ...marks];
}

/** Where in `codes` the frames of `piece` lie in a row, or -1. */
export function find(codes, piece) {
  const { refs, ids, codebooks } = codes, n = piece.refs.length;
  if (codebooks !== piece.codebooks) return -1;
  const same = (a, b, at, length) => {
    for (let i = 0; i < length; i++) if (a[at + i] !== b[i]) return false;
    return true;
  };
  for (let at = 0; at + n <= refs.length; at++)
    if (same(refs, piece.refs, at, n) && same(ids, piece.ids, at * codebooks, piece.ids.length)) return at;
  return -1;
}

/** Frames start..end-1 in words. */
export const range = (start, end) => (end === start + 1 ? `frame ${start}` : `frames ${start}–${end - 1}`);

/** An operation in words. */
export function describe({ op, start, end, at, to, frames, times, first, from, take, count, frame }) {
  const which = range(start, end);
  return {
    take: `Take ${take + 1} alone`, delete: `Delete ${which}`, insert_silence: `${frames} frames of silence at ${at}`,
    copy: `Copy ${which} to ${to}`, move: `Move ${which} to ${to}`, repeat: `Repeat ${which} ${times}×`,
    insert: `Insert ${which} of the second codes at ${at}`, replace_codebooks: `Codebooks ${first + 1}… of ${which} from frame ${from} of the second codes`,
    keep_codebooks: `Keep ${count} codebooks`, resample_from: `Resample from frame ${frame}`, redecode_from: `Redecode depth from frame ${frame}`,
  }[op] ?? op;
}
