import assert from "node:assert/strict";
import { test } from "node:test";
import { Choices, describeTurn } from "../../web/lib/choices.js";

const YES = { text: "Yes.", speaker: 1, nth: 0 }, AGAIN = { ...YES, nth: 1 };

test("a choice is about a text, its speaker and how often it was said before", () => {
  const choices = new Choices("[]");
  choices.choose(YES, { attempt: 1 });
  choices.choose(AGAIN, { locked: "a" });
  assert.deepEqual(choices.of({ ...YES, turn: 7 }), { attempt: 1, locked: "" });
  assert.deepEqual(choices.of({ ...YES, speaker: 0 }), { attempt: 0, locked: "" });
  choices.choose(AGAIN, { attempt: 2 });
  assert.deepEqual(JSON.parse(choices.text), [{ ...YES, attempt: 1 }, { ...AGAIN, attempt: 2, locked: "a" }]);
  assert.deepEqual(new Choices(choices.text).of(AGAIN), { attempt: 2, locked: "a" });
});

test("a choice taken back is gone", () => {
  const choices = new Choices("");
  choices.choose(YES, { attempt: 1 });
  assert.equal(choices.choose(YES, { attempt: 0 }), "[]");
});

test("what is no list stays for the server to refuse", () => {
  for (const text of ["{", "{}"]) assert.deepEqual([new Choices(text).text, new Choices(text).list], [text, []]);
});

test("a row says length, where it comes from, and what the next run does", () => {
  const turn = { start: 1, end: 1.4, kept: false, stop: "limit", attempt: 0, codes: "a" };
  assert.equal(describeTurn(turn, { attempt: 0, locked: "" }), "0.40 s · sampled · cut at the time limit");
  assert.equal(describeTurn({ ...turn, kept: true, stop: "eos" }, { attempt: 1, locked: "b" }), "0.40 s · kept · not as it was locked · attempt 2 when you run");
  assert.equal(describeTurn({ ...turn, stop: "eos", attempt: 1 }, { attempt: 1, locked: "a" }), "0.40 s · sampled · attempt 2");
});
