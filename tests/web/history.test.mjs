import assert from "node:assert/strict";
import { test } from "node:test";
import { History } from "../../web/lib/history.js";

const edit = (start) => ({ op: "delete", start, end: start + 1 });

test("what is done can be undone and done again", () => {
  let changes = 0;
  const history = new History("[]", () => changes++);
  assert.ok(!history.undoable && !history.redoable);
  history.act([edit(1)]);
  history.act([edit(1), edit(2)]);
  history.undo();
  assert.deepEqual(history.edits, [edit(1)]);
  assert.equal(history.text, JSON.stringify([edit(1)]));
  history.redo();
  assert.deepEqual(history.edits, [edit(1), edit(2)]);
  history.undo();
  history.act([edit(3)]); // a new change forgets what was undone
  assert.ok(!history.redoable);
  assert.equal(changes, 6);
});

test("edits of a loaded workflow are undone one by one", () => {
  const history = new History(JSON.stringify([edit(1), edit(2)]), () => {});
  history.undo();
  assert.deepEqual(history.edits, [edit(1)]);
  history.undo();
  assert.deepEqual(history.edits, []);
  history.undo();
  assert.deepEqual(history.edits, []);
});

test("a damaged value is kept as it is until it is edited", () => {
  for (const text of ["{", "7", '"x"', "null", "[1, null]"]) {
    const history = new History(text, () => {});
    assert.deepEqual(history.edits, []);
    assert.equal(history.text, text);
  }
});

test("what edits were made for stays with them, and goes with the last", () => {
  const stamp = { op: "made_for", codes: "a" }, other = { op: "made_for", codes: "b" };
  const history = new History(JSON.stringify([stamp, edit(1), edit(2)]), () => {});
  assert.deepEqual([history.madeFor, history.edits], [stamp, [edit(1), edit(2)]]);
  history.act([edit(1)]);
  assert.equal(history.text, JSON.stringify([stamp, edit(1)]));
  history.act([edit(1)], other);
  assert.deepEqual(history.madeFor, other);
  history.undo();
  assert.deepEqual(history.madeFor, stamp);
  history.act([]);
  assert.equal(history.text, "[]");
  history.undo();
  assert.equal(history.text, JSON.stringify([stamp, edit(1)]));
  const loaded = new History(JSON.stringify([stamp, edit(1)]), () => {});
  loaded.undo();
  assert.equal(loaded.text, "[]");
  loaded.redo();
  assert.deepEqual([loaded.madeFor, loaded.edits], [stamp, [edit(1)]]);
});
