import assert from "node:assert/strict";
import test from "node:test";
import { firstAfter, neighbour, textOf, wholeFrames, wordAt, wordsIn } from "../../web/lib/words.js";

const sent = [
  { text: "the", start: 0.4, end: 2.5, low: false }, { text: "old", start: 2.5, end: 5.1, low: true },
  { text: "sea", start: 6.9, end: 9.2, low: false },
];
const clip = { said: wholeFrames(sent, 10), frameOf: (ref) => (ref === undefined || ref < 0 ? -1 : ref) };
const shown = (refs) => wordsIn(Int32Array.from(refs), [clip, null]).map(({ text, start, end }) => [text, start, end]);

test("words lie in whole frames that don't overlap", () => {
  assert.deepEqual(clip.said.words.map(({ start, end }) => [start, end]), [[0, 3], [3, 5], [7, 9]]);
  assert.deepEqual([...clip.said.at], [0, 0, 0, 1, 1, -1, -1, 2, 2, -1]);
  assert.deepEqual(wholeFrames(undefined, 3).words, []);
});

test("words follow edits, and one that is cut through is none", () => {
  assert.deepEqual(shown([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), [["the", 0, 3], ["old", 3, 5], ["sea", 7, 9]]);
  assert.deepEqual(shown([0, 1, 3, 4, 7, 8, 7, 8]), [["old", 2, 4], ["sea", 4, 6], ["sea", 6, 8]]);
  assert.deepEqual(shown([7, 8, -1, -1, 0, 1, -1, 2]), [["sea", 0, 2]]);
});

test("a word is found by its place, and its neighbours from there", () => {
  const { words } = clip.said;
  assert.equal(wordAt(words, 3.5).text, "old");
  assert.equal(wordAt(words, 5.5), undefined);
  assert.equal(firstAfter(words, 9), 3);
  assert.equal(neighbour(words, 3, 5, 1).text, "sea");
  assert.equal(neighbour(words, 3, 5, -1).text, "the");
  assert.equal(neighbour(words, 0, 3, -1), undefined);
  assert.equal(neighbour(words, 6, 6, -1).text, "old");
  assert.equal(textOf(words, 0, 8), "the old");
});

test("an hour of words is searched in no time", () => {
  const many = Array.from({ length: 10_000 }, (_, i) => ({ text: "a", start: 4 * i, end: 4 * i + 3, low: false }));
  const began = performance.now();
  for (let i = 0; i < 10_000; i++) assert.equal(wordAt(many, 4 * i + 1).start, 4 * i);
  assert.ok(performance.now() - began < 500);
});
