import assert from "node:assert/strict";
import { test } from "node:test";
import { cutOut, describe, find, fits, range, replay, stampFor, strip, withOperation } from "../../web/lib/edits.js";

const take = (frames, K = 2, second = false) => strip(Int16Array.from({ length: frames * K }, (_, i) => i), K, second);
const refs = (edits, frames = 6, second = null) => [...replay(take(frames), edits, second).codes.refs];

test("codes sent a codebook after the other lie frame by frame", () => {
  const { ids, refs } = strip(Int16Array.from([1, 2, 3, 11, 12, 13]), 2);
  assert.deepEqual([...ids], [1, 11, 2, 12, 3, 13]);
  assert.deepEqual([...refs], [0, 1, 2]);
});

test("each operation moves the frames it names", () => {
  assert.deepEqual(refs([{ op: "delete", start: 1, end: 3 }]), [0, 3, 4, 5]);
  assert.deepEqual(refs([{ op: "insert_silence", at: 2, frames: 2 }]), [0, 1, -1, -1, 2, 3, 4, 5]);
  assert.deepEqual(refs([{ op: "copy", start: 0, end: 2, to: 6 }]), [0, 1, 2, 3, 4, 5, 0, 1]);
  assert.deepEqual(refs([{ op: "move", start: 0, end: 2, to: 4 }]), [2, 3, 0, 1, 4, 5]);
  assert.deepEqual(refs([{ op: "move", start: 3, end: 5, to: 1 }]), [0, 3, 4, 1, 2, 5]);
  assert.deepEqual(refs([{ op: "repeat", start: 1, end: 2, times: 2 }]), [0, 1, 1, 1, 2, 3, 4, 5]);
  assert.deepEqual(refs([{ op: "insert", at: 1, start: 0, end: 2 }], 2, take(3, 2, true)), [0, -2, -3, 1]);
});

test("codebooks are kept, and copied from the second codes", () => {
  const kept = replay(take(2), [{ op: "keep_codebooks", count: 1 }], null).codes;
  assert.deepEqual([kept.codebooks, ...kept.ids], [1, 0, 1]);
  const mixed = replay(take(2), [{ op: "replace_codebooks", start: 0, end: 2, first: 1, from: 1 }], take(3, 2, true)).codes;
  assert.deepEqual([...mixed.ids], [0, 4, 1, 5]); // codebook 1 of 3 frames is 3, 4, 5
});

test("an operation that does not fit is named, and those before it stay", () => {
  const { codes, error, wrong } = replay(take(6), [{ op: "delete", start: 0, end: 5 }, { op: "delete", start: 0, end: 2 }], null);
  assert.equal(codes.refs.length, 1);
  assert.equal(error, "Edit 2 (Delete): it needs 2 frames, and the codes have 1");
  assert.equal(wrong, 1);
  assert.equal(replay(take(6), [], null).wrong, -1);
  for (const op of [{ op: "toString" }, { op: "insert", at: 0, start: 0, end: 1 }, { op: "keep_codebooks", count: 3 }])
    assert.match(replay(take(6), [op], null).error, /^Edit 1/);
});

test("marks stay last and follow the frame they mark", () => {
  const mark = { op: "resample_from", frame: 4 }, codes = take(6);
  const edits = withOperation([mark], { op: "delete", start: 0, end: 2 }, codes, null);
  assert.deepEqual(edits, [{ op: "delete", start: 0, end: 2 }, { op: "resample_from", frame: 2 }]);
  assert.deepEqual(withOperation([mark], { op: "delete", start: 3, end: 5 }, codes, null)[1], { op: "resample_from", frame: 3 });
  assert.deepEqual(withOperation([mark], { op: "resample_from", frame: 1 }, codes, null), [{ op: "resample_from", frame: 1 }]);
  assert.deepEqual(withOperation([{ op: "redecode_from", frame: 1 }], { op: "delete", start: 0, end: 1 }, codes, null).length, 1);
});

test("a piece is found where its frames lie", () => {
  const codes = take(6);
  assert.equal(find(codes, cutOut(codes, 2, 4)), 2);
  assert.equal(find(cutOut(codes, 0, 2), cutOut(codes, 2, 4)), -1);
});

test("every operation has a description", () => {
  for (const op of ["take", "delete", "insert_silence", "copy", "move", "repeat", "insert", "replace_codebooks", "keep_codebooks", "resample_from", "redecode_from"])
    assert.notEqual(describe({ op, start: 1, end: 2 }), op);
});

test("edits say which codes they were made for, and the second codes if they take from them", () => {
  const about = { codes: "a", other: "b" }, cut = { op: "delete", start: 0, end: 1 }, insert = { op: "insert", at: 0, start: 0, end: 1 };
  assert.deepEqual(stampFor([cut], about), { op: "made_for", codes: "a" });
  assert.deepEqual(stampFor([cut, insert], about), { op: "made_for", codes: "a", other: "b" });
  assert.ok(fits(null, about) && fits({ codes: "a" }, about) && fits({ codes: "a", other: "b" }, about));
  assert.ok(!fits({ codes: "c" }, about) && !fits({ codes: "a", other: "c" }, about));
  assert.ok(fits({ codes: "a", other: "c" }, { codes: "a", other: null })); // that none are connected is said by the edit
});

test("ranges are read to their last frame", () => {
  assert.equal(range(16, 18), "frames 16–17");
  assert.equal(range(16, 17), "frame 16");
  assert.equal(describe({ op: "delete", start: 16, end: 18 }), "Delete frames 16–17");
});
